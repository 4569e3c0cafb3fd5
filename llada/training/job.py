"""What to train and what came out, as plain frozen values that survive JSON."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llada.config import ModelConfig
from llada.training.config import HOW_IT_RUNS, TrainingConfig
from llada.training.retention import RetentionConfig
from llada.training.shards import Shard


class TrainingJob(BaseModel):
    """One objective on one corpus; the folders may be anywhere all workers can reach."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Literal["pretrain", "sft", "autoregressive"]
    model: ModelConfig
    training: TrainingConfig
    shards: tuple[Shard, ...] = Field(min_length=1)
    init_from: str | None = Field(None, description="weights to start from, published layout")
    validation_shards: tuple[Shard, ...] = Field(
        (), description="held-out rows of the same form, for training.validate_every"
    )
    peak_flops: float | None = Field(
        None, gt=0, description="FLOP/s of all workers' hardware together; None: no MFU is told"
    )
    checkpoint_dir: str = Field(description="one per job: resuming means finding it again")
    output_dir: str = Field(description="final float32 weights, published layout")
    stop_signs: tuple[str, ...] = Field(
        (), description="files; once one exists, the run writes a checkpoint and ends"
    )
    retention: RetentionConfig = Field(
        RetentionConfig(), description="which checkpoints stay; no part of the identity"
    )

    @model_validator(mode="after")
    def _sees_what_it_may(self) -> Self:
        causal, wanted = self.model.causal, self.objective == "autoregressive"
        if causal != wanted:
            msg = (
                f"objective {self.objective!r} with a model of causal={causal}; the autoregressive "
                "objective needs a model that sees the left only, the others one that sees both "
                f"sides: train a model of causal={wanted}, or change the objective"
            )
            raise ValueError(msg)
        return self

    def resolved(self) -> "TrainingJob":
        """Return the job with absolute paths, as workers have other working directories."""
        absolute = {
            name: _absolute(getattr(self, name)) for name in ("checkpoint_dir", "output_dir")
        }
        shards, held_out = (
            [{**s.model_dump(), "path": _absolute(s.path)} for s in group]
            for group in (self.shards, self.validation_shards)
        )
        start = None if self.init_from is None else _absolute(self.init_from)
        return TrainingJob.model_validate(
            {
                **self.model_dump(),
                **absolute,
                "shards": shards,
                "validation_shards": held_out,
                "init_from": start,
                "stop_signs": tuple(map(_absolute, self.stop_signs)),
            }
        )

    def identity(self) -> dict[str, Any]:
        """Return what a resumed run must share with the one it continues.

        Free are the paths, the world size and how a step is cut and sharded: those change the
        numbers by rounding alone.
        """
        parts = self.model_dump(mode="json", include={"objective", "model"})
        recipe = self.training.model_dump(mode="json", exclude=set(HOW_IT_RUNS))
        return {
            **parts,
            "training": recipe,
            "rows": [s.rows for s in self.shards],
            "fresh": self.init_from is None,
        }


class StepMetrics(BaseModel):
    """One optimizer step; `tokens` counts the positions of the global batch."""

    # A diverged loss must reach the record as NaN: the default writes null, which reads as no line.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    step: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int
    tokens_per_second: float
    seconds: float
    checkpoint_seconds: float = Field(
        default=0.0, description="before this step, that a checkpoint held training up"
    )
    cross_entropy: float | None = None
    """Plain mean over the masked tokens, in nats: steadier than `loss`, whose rows weigh 1/t."""
    loss_by_t: tuple[float | None, ...] = ()
    """The same by the row's t, in equal parts of [0, 1); None where no row had such a t."""
    masked: int = 0
    """Rows that went through the head: masked tokens, of the baseline all predictions."""
    data_seconds: float = 0.0
    """Of `seconds`, spent waiting for rows."""
    flops_per_second: float | None = None
    """Of all workers; see `metrics.step_flops` for what counts."""
    mfu: float | None = None
    """`flops_per_second` over `TrainingJob.peak_flops`; None where that is not known."""
    val_loss: float | None = None
    """On held-out rows, after this step, where this step measured it (see `validation`)."""
    interventions: int = 0
    """Rollbacks so far: a step that comes again has a higher number."""

    def numbers(self) -> dict[str, float]:
        """Return every figure that was measured under a name of its own, for curves by step."""
        values = self.model_dump(exclude={"step", "loss_by_t"})
        parts = len(self.loss_by_t)
        by_t = {
            f"loss_t_{part / parts:.2f}_{(part + 1) / parts:.2f}": value
            for part, value in enumerate(self.loss_by_t)
        }
        return {name: float(v) for name, v in (values | by_t).items() if v is not None}


class TrainingReport(BaseModel):
    """A finished run; `record.read_metrics(metrics_path, steps)` gives every step of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    final: StepMetrics
    tokens: int
    resumed_at: int = Field(description="first step this call computed; equal to steps: none")
    restarts: int = Field(description="times Ray started the workers anew within this call")
    passed_over: tuple[str, ...] = Field(description="checkpoints found damaged and not used")
    rollbacks: int = Field(0, description="times the guard went back; see interventions.jsonl")
    lost_seconds: float = Field(
        0.0, description="steps computed and thrown away, by restarts and rollbacks, in all calls"
    )
    seconds: float
    metrics_path: str
    output_dir: str


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
