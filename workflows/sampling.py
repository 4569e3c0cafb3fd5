"""Sampling as a person asks for it: lengths and steps that need not be worked out beforehand."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflows.errors import UsageError

if TYPE_CHECKING:
    from llada.pretrained import Pretrained
    from llada.sampling import SamplingConfig

_BLOCK = 32
_SMALLEST_BLOCK = 8


@dataclass(frozen=True)
class Denoising:
    """The settings of the command line; None: worked out from the length."""

    length: int = 64
    steps: int | None = None
    block: int | None = None
    temperature: float = 0.0
    cfg: float = 0.0
    remasking: str = "low_confidence"
    forbid_eos: bool = False
    defer_eos: bool = False
    cache: str = "none"
    cache_refresh: int | None = None
    threshold: float | None = None
    entropy: float | None = None
    early_exit: bool = False

    def config(self, pretrained: "Pretrained") -> "SamplingConfig":
        """Return how to sample an answer of `length` tokens.

        Raises:
            UsageError: blocks do not fill the answer, or steps cannot be shared by the blocks.
        """
        if self.length < 1:
            raise UsageError(f"--length {self.length}: an answer has 1 token or more")
        block = self._block_of(self.length) if self.block is None else self.block
        if block < 1 or self.length % block:
            near = " or ".join(str(n) for n in _around(self.length, max(1, block)))
            raise UsageError(
                f"--length {self.length} is not filled by blocks of {block}: use --length {near}, "
                f"or --block {self._block_of(self.length)}"
            )
        return self._sampling(pretrained, self.length, block, self.steps or self.length)

    def config_of_gaps(self, pretrained: "Pretrained", ids: list[int]) -> "SamplingConfig":
        """Return how to fill the gaps of a text: blocks from the first gap over the last."""
        mask = pretrained.tokenizer.special.mask
        first, last = ids.index(mask), len(ids) - 1 - ids[::-1].index(mask)
        reach = last - first + 1
        block = min(self.block or reach, reach)
        blocks = -(-reach // block)
        steps = self.steps or block * blocks
        return self._sampling(pretrained, block * blocks, block, steps)

    def _sampling(
        self, pretrained: "Pretrained", length: int, block: int, steps: int
    ) -> "SamplingConfig":
        from pydantic import ValidationError

        from llada.sampling import SamplingConfig

        blocks = length // block
        if steps < 1 or steps % blocks:
            near = " or ".join(str(n) for n in _around(steps, blocks))
            raise UsageError(
                f"--steps {steps} cannot be shared equally by {blocks} blocks of {block} tokens: "
                f"use --steps {near}, or one block with --block {length}"
            )
        settings = {
            "steps": steps,
            "gen_length": length,
            "block_length": block,
            "temperature": self.temperature,
            "cfg_scale": self.cfg,
            "remasking": self.remasking,
            "forbidden_ids": pretrained.reserved + (pretrained.ends if self.forbid_eos else ()),
            "deferred_ids": pretrained.ends if self.defer_eos else (),
            "cache": self.cache,
            "cache_refresh": self.cache_refresh,
            "parallel": self._parallel(),
            "early_exit": self.early_exit,
        }
        try:
            return SamplingConfig.model_validate(settings)
        except ValidationError as error:
            raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error

    def _parallel(self) -> dict[str, float] | None:
        if self.threshold is not None and self.entropy is not None:
            raise UsageError(
                "--threshold and --entropy together; they are two rules for the same choice: drop "
                "one"
            )
        if self.threshold is not None:
            return {"threshold": self.threshold}
        return None if self.entropy is None else {"entropy": self.entropy}

    @staticmethod
    def _block_of(length: int) -> int:
        """Return the largest block up to 32 that fills a length; all of it where that is tiny."""
        block = max(size for size in range(1, min(length, _BLOCK) + 1) if length % size == 0)
        return length if block < _SMALLEST_BLOCK else block


def _around(value: int, unit: int) -> list[int]:
    """Return the multiples of a unit below and above a value that are not 0."""
    return [n for n in (value // unit * unit, (value // unit + 1) * unit) if n > 0]
