"""From a prompt to an answer: start from masks, commit the surest tokens, step by step."""

from llada.sampling.config import SamplingConfig
from llada.sampling.infill import infill
from llada.sampling.prepared import Prepared
from llada.sampling.sampler import Generation, generate
from llada.sampling.trace import Step, Trace

__all__ = ["Generation", "Prepared", "SamplingConfig", "Step", "Trace", "generate", "infill"]
