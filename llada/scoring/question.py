"""What is asked of the engine, how, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

from llada.errors import LladaError
from llada.likelihood import Likelihood


class ScoringConfig(BaseModel):
    """How closely answers are scored; `batch_tokens` changes speed and memory, never a value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Masks an answer; the paper's number for benchmarks (appendix B.5).
    samples: PositiveInt = 128
    cfg_scale: NonNegativeFloat = 0.0
    # Answers of so few tokens get all 2^A - 1 masks: no error, and at 6 tokens half the passes.
    exact_up_to: int = Field(default=6, ge=0, le=12)
    # An answer leaves once it trails the best by so many standard errors of the difference; None
    # spends all samples on every answer, as a table of likelihoods (not of choices) needs.
    stop_z: float | None = Field(default=None, gt=0)
    # Nothing is settled on fewer: an error estimated from a handful is itself a guess.
    min_samples: int = Field(default=16, ge=4)
    # Positions of one forward pass, both halves of guidance counted.
    batch_tokens: PositiveInt = 4096


@dataclass(frozen=True)
class Question:
    """Two or more answers to compare, or one to score, each with the prompt before it.

    `divisors` are what likelihoods are divided by before they are compared (1 unless given; the
    number of characters or tokens gives the length-normalised accuracy of common harnesses).
    """

    prompts: tuple[tuple[int, ...], ...]
    answers: tuple[tuple[int, ...], ...]
    divisors: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        prompt: Sequence[int],
        answers: Sequence[Sequence[int]],
        divisors: Sequence[float] = (),
    ) -> Self:
        """Ask about answers to one prompt."""
        return cls(
            (tuple(prompt),) * len(answers), tuple(map(tuple, answers)), tuple(map(float, divisors))
        )

    def __post_init__(self) -> None:
        """Refuse what cannot be scored."""
        if not self.answers or not all(self.answers) or len(self.prompts) != len(self.answers):
            raise LladaError(
                f"a question of {len(self.prompts)} prompts and answers of "
                f"{[len(answer) for answer in self.answers]} tokens; it needs one prompt (which "
                f"may be empty) an answer, and answers of 1 token or more: drop empty answers"
            )
        if not self.divisors:
            object.__setattr__(self, "divisors", (1.0,) * len(self.answers))
        if len(self.divisors) != len(self.answers) or min(self.divisors) <= 0:
            raise LladaError(
                f"divisors {list(self.divisors)} for {len(self.answers)} answers; give one above 0 "
                f"for each answer, or none"
            )


@dataclass(frozen=True)
class Scores:
    """What was found out about one question."""

    answers: tuple[Likelihood, ...]
    """log p(answer | prompt) in nats, with its standard error: 0 if exact, NaN of one sample."""
    best: int
    """The answer of the highest value over divisor."""
    leads: tuple[Likelihood, ...]
    """By how much the best is ahead of each (over their divisors), and the error *of that lead*."""
    masks: tuple[int, ...]
    """How many masks each answer was scored on."""
    settled: bool
    """Whether each lead exceeds `stop_z` errors; False where that is not asked for."""
