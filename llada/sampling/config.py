"""How to sample: lengths, steps, randomness, and which ids an answer may hold."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt, model_validator

from llada.errors import LladaError
from llada.sampling.parallel import Parallel
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

    # What follows is faster and gives up something; without it, sampling is exact.
    # Keep keys and values from the first pass of a block to its last: of what stands before the
    # block ("prefix": the block and all after it are computed in every step), or of all that is
    # outside of it ("dual": a step computes the block alone). What is kept does not see what the
    # steps change. The first step of every block is exact, given the text before it.
    cache: Literal["none", "prefix", "dual"] = "none"
    # Renew what is kept after so many steps of a block as well; 1 is exact, and saves nothing.
    cache_refresh: PositiveInt | None = None
    # Commit more than a step is due where the model is sure; fewer passes, `steps` is their limit.
    # Tokens committed together do not see each other.
    parallel: Parallel | None = None
    # Stop when every row has an end of text in a finished block, and fill the rest with it. Texts
    # up to their first end are the same as without.
    early_exit: bool = False

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
        if self.cache_refresh is not None and self.cache == "none":
            raise LladaError(
                f"cache_refresh={self.cache_refresh} without a cache; there is nothing to renew: "
                f"set cache to 'prefix' or 'dual', or leave cache_refresh out"
            )
        if self.parallel is not None and self.remasking != "low_confidence":
            raise LladaError(
                f"parallel decoding with remasking={self.remasking!r}; it commits what the model "
                f"is sure of, by a score of its own: use remasking='low_confidence'"
            )
        return self
