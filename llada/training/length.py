"""How long a training is: in steps, in tokens or in epochs, whichever its author thinks in."""

import re
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_COUNT = re.compile(r"\s*(\d+(?:\.\d+)?(?:e\+?\d+)?)\s*([KMBT]?)\s*", re.IGNORECASE)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def _count(value: object) -> object:
    """Read "2.3T" as 2,300,000,000,000; everything that is no text is left for pydantic."""
    if not isinstance(value, str):
        return value
    found = _COUNT.fullmatch(value)
    if found is None:
        raise ValueError(f"found {value!r}; write a number of tokens such as 2.3T, 580B or 20M")
    return round(float(found[1]) * _UNITS[found[2].upper()])


TokenCount = Annotated[int, BeforeValidator(_count), Field(gt=0)]


class Length(BaseModel):
    """Exactly one of three; `steps_for` turns it into optimizer steps, the same every time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int | None = Field(default=None, gt=0)
    """Optimizer steps."""
    tokens: TokenCount | None = None
    """Positions of full-length sequences, as a number or as 2.3T, 580B, 20M."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training rows (of SFT: over the dialogues)."""

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        given = [name for name in ("steps", "tokens", "epochs") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(
                f"found {found}; give the length once, as steps, tokens or epochs: "
                "set the others to null"
            )
        return self

    def steps_for(self, *, batch_size: int, sequence_length: int, rows: int | None) -> int | None:
        """Return the optimizer steps; None where epochs of a number of rows yet unknown are meant.

        Rounded to the nearest step, at least one. `tokens` counts every row as `sequence_length`
        positions: the 1 % of cut rows make the real number 0.5 % smaller, as in the paper's run.
        """
        if self.steps is not None:
            return self.steps
        if self.tokens is not None:
            return max(1, round(self.tokens / (batch_size * sequence_length)))
        assert self.epochs is not None
        return None if rows is None else max(1, round(self.epochs * rows / batch_size))
