"""What is told of a step: its loss, its speed, and the arithmetic it did, counted honestly."""

from typing import NamedTuple

import torch
from torch import Tensor

from llada.config import ModelConfig
from llada.training.batch import Data
from llada.training.flops import (
    attention_flops_per_token,
    flops_per_token,
    head_flops_per_token,
)
from llada.training.job import StepMetrics, TrainingJob

T_BUCKETS = 4


class Measured(NamedTuple):
    """What the engine found in a step, equal on all ranks.

    `sum_K` and `count_K` are the summed cross-entropy and the number of masked tokens of the global
    batch in rows whose t lies in the K-th part of [0, 1).
    """

    loss: float
    grad_norm: float
    sum_K: tuple[float, ...]
    count_K: tuple[float, ...]


class Clock(NamedTuple):
    """Seconds of one step on this rank, and of them those waiting for rows."""

    seconds: float
    data_seconds: float


def tally(ce_M: Tensor, masked_BL: Tensor, time_B: Tensor) -> Tensor:
    """Return summed cross-entropies and counts by bucket of t, as one row of 2 K float64 numbers.

    `ce_M` belongs to the M masked positions of `masked_BL` in their order.
    """
    bucket_B = (time_B * T_BUCKETS).long().clamp(0, T_BUCKETS - 1)
    bucket_M = bucket_B[:, None].expand_as(masked_BL)[masked_BL]
    both_2M = torch.stack([ce_M.detach().double(), torch.ones_like(ce_M, dtype=torch.float64)])
    sums_2K = both_2M.new_zeros(2, T_BUCKETS)
    # No index_add: on CUDA it adds in any order, and two runs must not differ even here.
    for bucket in range(T_BUCKETS):
        sums_2K[:, bucket] = (both_2M * (bucket_M == bucket)).sum(1)
    return sums_2K.flatten()


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
    masked = sum(measured.count_K)
    flops = step_flops(job.model, lengths, masked) / clock.seconds
    by_t = tuple(
        total / count if count else None
        for total, count in zip(measured.sum_K, measured.count_K, strict=True)
    )
    return StepMetrics(
        step=step,
        loss=measured.loss,
        learning_rate=rate,
        grad_norm=measured.grad_norm,
        tokens=sum(lengths),
        tokens_per_second=sum(lengths) / clock.seconds,
        seconds=clock.seconds,
        cross_entropy=sum(measured.sum_K) / masked if masked else None,
        loss_by_t=() if job.objective == "autoregressive" else by_t,
        masked=round(masked),
        data_seconds=clock.data_seconds,
        flops_per_second=flops,
        mfu=None if job.peak_flops is None else flops / job.peak_flops,
        interventions=interventions,
    )
