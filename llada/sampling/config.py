"""How to sample: lengths, steps, randomness, and which ids an answer may hold."""

from typing import Self

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt, model_validator

from llada.errors import LladaError
from llada.sampling.remasking import STRATEGIES


class SamplingConfig(BaseModel):
    """The settings of one generation; the defaults are those of the paper for a base model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: PositiveInt
    gen_length: PositiveInt
    # Blocks are finished left to right; one block of gen_length is pure diffusion.
    block_length: PositiveInt
    temperature: NonNegativeFloat = 0.0
    cfg_scale: NonNegativeFloat = 0.0
    remasking: str = "low_confidence"
    # Never in the answer. Given EOS, an answer fills its whole length (paper, B.4).
    forbidden_ids: tuple[int, ...] = ()
    # Predicted as usual but committed after everything else. Given EOS and EoT, the model must
    # write before it may end (paper, B.4).
    deferred_ids: tuple[int, ...] = ()

    @property
    def blocks(self) -> int:
        """How many blocks the answer has."""
        return self.gen_length // self.block_length

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.gen_length % self.block_length:
            raise LladaError(
                f"gen_length={self.gen_length} is not a multiple of "
                f"block_length={self.block_length}; blocks must fill the answer: choose a "
                f"block_length that divides gen_length"
            )
        if self.steps % self.blocks:
            raise LladaError(
                f"steps={self.steps} cannot be shared by {self.blocks} blocks (gen_length / "
                f"block_length); every block gets the same number: use a multiple of {self.blocks}"
            )
        if self.remasking not in STRATEGIES:
            raise LladaError(
                f"no remasking strategy {self.remasking!r}; choose one of {', '.join(STRATEGIES)}"
            )
        return self
