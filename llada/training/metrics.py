"""What is told of a step: its loss, its speed, and the arithmetic it did, counted honestly."""

from typing import NamedTuple

from llada.config import ModelConfig
from llada.training.batch import Data
from llada.training.flops import (
    attention_flops_per_token,
    flops_per_token,
    head_flops_per_token,
)
from llada.training.job import StepMetrics, TrainingJob
from llada.training.tally import T_BUCKETS


class Measured(NamedTuple):
    """What the engine found in a step, equal on all ranks; the norm is that before clipping.

    `tallied` holds, for each of the K parts of [0, 1), the summed cross-entropy of the masked
    tokens in rows whose t lies there, then, for each, their number.
    """

    loss: float
    grad_norm: float
    tallied: tuple[float, ...]


class Clock(NamedTuple):
    """Seconds of one step on this rank, and of them those waiting for rows."""

    seconds: float
    data_seconds: float


def step_flops(model: ModelConfig, lengths: list[int], headed: float) -> float:
    """Return the useful FLOPs of a step, forward and backward.

    6 N a position that exists (N: weights outside embedding and head), 12 * layers * d * L^2 a row
    of L positions for attention (half for a causal model), and 6 * d * V for each of the `headed`
    rows that went through the head. Not counted: padding past a cut row's length, and whatever is
    computed twice to save memory.
    """
    body = sum(
        length * (flops_per_token(model) + attention_flops_per_token(model, length))
        for length in lengths
    )
    return body + headed * head_flops_per_token(model)


def step_metrics(
    job: TrainingJob,
    data: Data,
    step: int,
    data_step: int,
    measured: Measured,
    *,
    rate: float,
    clock: Clock,
    interventions: int,
) -> StepMetrics:
    """Put one step's line together; the autoregressive baseline has no t and no buckets."""
    lengths = data.lengths(data_step).tolist()
    sum_K, count_K = measured.tallied[:T_BUCKETS], measured.tallied[T_BUCKETS:]
    masked = sum(count_K)
    flops = step_flops(job.model, lengths, masked) / clock.seconds
    by_t = tuple(
        total / count if count else None for total, count in zip(sum_K, count_K, strict=True)
    )
    return StepMetrics(
        step=step,
        loss=measured.loss,
        learning_rate=rate,
        grad_norm=measured.grad_norm,
        tokens=sum(lengths),
        tokens_per_second=sum(lengths) / clock.seconds,
        seconds=clock.seconds,
        cross_entropy=sum(sum_K) / masked if masked else None,
        loss_by_t=() if job.objective == "autoregressive" else by_t,
        masked=round(masked),
        data_seconds=clock.data_seconds,
        flops_per_second=flops,
        mfu=None if job.peak_flops is None else flops / job.peak_flops,
        interventions=interventions,
    )
