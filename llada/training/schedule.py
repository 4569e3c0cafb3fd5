"""The learning rate as a pure function of the step: warm-up, stable, lower, decay."""

from fractions import Fraction
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _share(value: object) -> object:
    """Read "1.2/2.3" as a share; everything that is no text is left for pydantic."""
    if not isinstance(value, str):
        return value
    try:
        part, _, whole = value.partition("/")
        return float(Fraction(part.strip()) / Fraction(whole.strip() or "1"))
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(
            f"found {value!r}; write a share of the run, such as 0.52 or 1.2/2.3"
        ) from error


Share = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1)]
"""A share of the run, as a number or as the paper counts it: 1.2/2.3 (trillions of tokens)."""


class ScheduleConfig(BaseModel):
    """The paper's pre-training schedule (LLaDA, section 2.2); fractions are of the whole run.

    For SFT (appendix B.1): `ScheduleConfig(peak=2.5e-5, warmup_steps=50, lower=None,
    decay_last=0.1, final=2.5e-6)`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    peak: float = Field(default=4e-4, gt=0, description="reached at the end of the warm-up")
    warmup_steps: int = Field(default=2000, ge=0, description="linear from 0 to the peak")
    lower: float | None = Field(
        default=1e-4, gt=0, description="second plateau; None: stay at the peak"
    )
    lower_after: Share = Field(default=1.2 / 2.3, description="1.2T of 2.3T tokens")
    decay_last: Share = Field(default=0.3 / 2.3, description="the last 0.3T of 2.3T tokens")
    final: float = Field(default=1e-5, ge=0, description="rate of the very last step")

    @model_validator(mode="after")
    def _levels_fall(self) -> Self:
        stable = self.peak if self.lower is None else self.lower
        if not self.peak >= stable >= self.final:
            msg = (
                f"peak {self.peak}, lower {self.lower}, final {self.final}: the rate may only fall "
                "after the warm-up (peak >= lower >= final); lower them in that order"
            )
            raise ValueError(msg)
        if self.lower is not None and self.lower_after + self.decay_last > 1:
            msg = (
                f"lower_after {self.lower_after} + decay_last {self.decay_last} is above 1: the "
                "lower plateau must start before the decay; shrink one, or set lower to null"
            )
            raise ValueError(msg)
        return self


def warmup_stable_decay(step: int, steps: int, config: ScheduleConfig) -> float:
    """Return the learning rate of 0-based `step` in a run of `steps` optimizer steps.

    Warm-up ends exactly on the peak (step `warmup_steps - 1`) and the decay exactly on `final`
    (step `steps - 1`). Source: LLaDA section 2.2 and appendix B.1.
    """
    if step < config.warmup_steps:
        return config.peak * (step + 1) / config.warmup_steps
    lowered = config.lower is not None and step >= round(config.lower_after * steps)
    stable = config.lower if lowered and config.lower is not None else config.peak
    decay_steps = round(config.decay_last * steps)
    into_decay = step + 1 - (steps - decay_steps)
    if into_decay <= 0:
        return stable
    share = into_decay / decay_steps
    return stable * (1 - share) + config.final * share
