"""What identifies a training run: the recipe of its numbers, never where or how wide it runs."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llada.training.errors import TrainingError
from llada.training.guard_config import GuardConfig
from llada.training.schedule import ScheduleConfig

HOW_IT_RUNS = frozenset(
    {
        "micro_batch_size",
        "zero_stage",
        "activation_checkpointing",
        "checkpoint_every",
        "compile",
        "offload_optimizer",
        "validate_every",
        "validation_rows",
    }
)
"""Fields that a resumed run may change: they alter the numbers by rounding or not at all."""


class NoiseConfig(BaseModel):
    """How a batch is masked; all four pairs estimate the same loss (see `llada.noise`).

    The defaults are the paper's. The others spread t evenly over the global batch, and mask exactly
    n of L tokens with weight L / n (Eq. 14), for less noise in loss and gradient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    times: Literal["independent", "low_discrepancy"] = "independent"
    masks: Literal["bernoulli", "exact_count"] = "bernoulli"


class Optimisation(BaseModel):
    """How to train, not how long; defaults are LLaDA's (section 2.2, B.1) where the paper says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(default=1280, gt=0, description="sequences per step, over all workers")
    micro_batch_size: int = Field(
        default=4, gt=0, description="sequences per forward pass of one worker"
    )
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="source of every draw and of fresh weights"
    )
    random_length_fraction: float = Field(
        default=0.01, ge=0, le=1, description="pre-training sequences cut to U[1, L] (section 2.2)"
    )
    mask_floor: float = Field(
        default=1e-3, gt=0, lt=1, description="epsilon of p = (1 - eps) t + eps"
    )
    weight_decay: float = Field(
        default=0.1, ge=0, description="on matrices; norms and biases have none"
    )
    betas: tuple[float, float] = Field(
        default=(0.9, 0.95), description="AdamW; SMDM's, the paper is mute"
    )
    gradient_clip: float = Field(
        default=1.0, gt=0, description="global norm; SMDM's, the paper is mute"
    )
    zero_stage: Literal[1, 2, 3] = Field(default=1, description="what DeepSpeed ZeRO shards")
    precision: Literal["fp32", "bf16"] = Field(
        default="bf16", description="forward; masters stay fp32"
    )
    activation_checkpointing: bool = Field(
        default=False,
        description="compute each block again in the backward pass: less memory, a third more time",
    )
    offload_optimizer: bool = Field(
        default=False, description="AdamW and its state in host memory; needs a GPU to free"
    )
    compile: bool = Field(
        default=False, description="torch.compile each layer; equal up to rounding, stages 1 and 2"
    )
    checkpoint_every: int = Field(
        default=1000, gt=0, description="steps; the last step always has one"
    )
    noise: NoiseConfig = NoiseConfig()
    validate_every: int | None = Field(
        default=None, gt=0, description="steps between measurements on held-out rows; null: never"
    )
    validation_rows: int = Field(default=64, gt=0, description="held-out rows measured, at most")
    guard: GuardConfig = GuardConfig()
    schedule: ScheduleConfig = ScheduleConfig()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.batch_size % self.micro_batch_size:
            msg = (
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size "
                f"{self.micro_batch_size}; choose a divisor of the batch size"
            )
            raise ValueError(msg)
        if self.compile and self.zero_stage == 3:
            msg = (
                "compile with zero_stage 3: it gathers weights by hooks inside the layers, which "
                "a compiled layer would skip; use zero_stage 1 or 2, or compile: false"
            )
            raise ValueError(msg)
        return self

    def accumulation(self, workers: int) -> int:
        """Return how many micro-batches each worker takes a step.

        Raises:
            TrainingError: the batch does not divide into whole micro-batches for every worker.
        """
        micro = self.micro_batch_size
        if self.batch_size % (micro * workers):
            msg = (
                f"batch_size {self.batch_size} does not divide into micro-batches of {micro} for "
                f"{workers} workers; it must be a multiple of {micro * workers}: change one of the "
                "three"
            )
            raise TrainingError(msg)
        return self.batch_size // (micro * workers)


class TrainingConfig(Optimisation):
    """How to train, and for how many steps: all that a training job needs to know."""

    steps: int = Field(gt=0, description="optimizer steps")

    @model_validator(mode="after")
    def _reaches_the_peak(self) -> Self:
        if self.schedule.warmup_steps > self.steps:
            msg = (
                f"schedule.warmup_steps {self.schedule.warmup_steps} exceeds steps {self.steps}: "
                "the peak would never be reached; shorten the warm-up or train longer"
            )
            raise ValueError(msg)
        return self
