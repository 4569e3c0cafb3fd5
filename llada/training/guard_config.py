"""What counts as a spike of a training run, and what is done about it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Remedy = Literal["lower_rate", "skip", "stop"]


class GuardConfig(BaseModel):
    """What counts as a spike, and what is done about one.

    The paper's only incident, a NaN after 1.2 T of 2.3 T tokens, was met by going back to a
    checkpoint and lowering the rate from 4e-4 to 1e-4 (LLaDA, section 2.2): the default here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    on_spike: Remedy = Field(
        default="lower_rate",
        description="after going back: lower the rate, skip the data of the spike, or give up",
    )
    rate_factor: float = Field(
        default=0.25, gt=0, lt=1, description="of lower_rate; the paper's 4e-4 to 1e-4"
    )
    window: int = Field(
        default=128, ge=8, description="last good steps that say what is normal; half must be there"
    )
    deviations: float = Field(
        default=8.0, gt=0, description="above the median, in robust standard deviations"
    )
    patience: int = Field(
        default=3, gt=0, description="high steps in a row that make a spike; NaN and Inf need one"
    )
    max_rollbacks: int = Field(default=3, ge=0, description="beyond it, the run gives up")
