"""What to train and what came out, as plain frozen values that survive JSON."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llada.config import ModelConfig
from llada.training.config import TrainingConfig
from llada.training.shards import Shard


class TrainingJob(BaseModel):
    """One objective on one corpus; the folders may be anywhere all workers can reach."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Literal["pretrain", "sft", "autoregressive"]
    model: ModelConfig
    training: TrainingConfig
    shards: tuple[Shard, ...] = Field(min_length=1)
    init_from: str | None = Field(None, description="weights to start from, published layout")
    checkpoint_dir: str = Field(description="one per job: resuming means finding it again")
    output_dir: str = Field(description="final float32 weights, published layout")
    stop_signs: tuple[str, ...] = Field(
        (), description="files; once one exists, the run writes a checkpoint and ends"
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
        shards = [{**s.model_dump(), "path": _absolute(s.path)} for s in self.shards]
        start = None if self.init_from is None else _absolute(self.init_from)
        return TrainingJob.model_validate(
            {
                **self.model_dump(),
                **absolute,
                "shards": shards,
                "init_from": start,
                "stop_signs": tuple(map(_absolute, self.stop_signs)),
            }
        )

    def identity(self) -> dict[str, Any]:
        """Return what a resumed run must share with the one it continues: all but the paths."""
        parts = self.model_dump(mode="json", include={"objective", "model", "training"})
        return {**parts, "rows": [s.rows for s in self.shards], "fresh": self.init_from is None}


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


class TrainingReport(BaseModel):
    """A finished run; `record.read_metrics(metrics_path, steps)` gives every step of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    final: StepMetrics
    tokens: int
    resumed_at: int = Field(description="first step this call computed; equal to steps: none")
    restarts: int = Field(description="times Ray started the workers anew within this call")
    passed_over: tuple[str, ...] = Field(description="checkpoints found damaged and not used")
    seconds: float
    metrics_path: str
    output_dir: str


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
