"""From a prompt to an answer: start from masks, commit the surest tokens, step by step."""

from llada.sampling.config import SamplingConfig
from llada.sampling.sampler import Generation, generate

__all__ = ["Generation", "SamplingConfig", "generate"]
