"""The bound on held-out rows at intervals, under noise that never changes, so that curves compare.

Each row is scored once, with exactly n tokens masked and weight L / n (Eq. 14), n spread evenly
over the rows: the estimator of least variance there is here, and an unbiased one of the bound. The
draws depend on the held-out rows alone, not on the run's seed, its step or its number of workers.
The baseline's held-out loss is exact.
"""

import torch
import torch.distributed as dist

from llada.training.batch import Batch, Data
from llada.training.engine import Engine
from llada.training.job import TrainingJob
from llada.training.rows import open_held_out


class Validation:
    """This rank's part of the held-out rows."""

    def __init__(self, data: Data, rows: int, micro_batch_size: int) -> None:
        """Deal the micro-batches of `rows` rows to the ranks in turn."""
        starts = range(0, rows, micro_batch_size)
        parts = [range(start, min(start + micro_batch_size, rows)) for start in starts]
        rank, world = dist.get_rank(), dist.get_world_size()
        each = -(-len(parts) // world)
        self._data = data
        self._own = parts[rank::world]
        self._idle = [parts[0]] * (each - len(self._own))

    def measure(self, engine: Engine) -> float:
        """Return nats a token over all held-out rows; collective."""
        own = [self._data.batch(0, indices) for indices in self._own]
        # A forward pass is a collective under ZeRO-3: who has a batch less runs one that counts 0.
        idle = [_silenced(self._data.batch(0, indices)) for indices in self._idle]
        return engine.score(own + idle)


def open_validation(job: TrainingJob) -> Validation | None:
    """Return what to measure with, or None where the job asks for nothing (see `open_held_out`)."""
    found = open_held_out(job)
    if found is None:
        return None
    return Validation(*found, job.training.micro_batch_size)


def _silenced(batch: Batch) -> Batch:
    return batch._replace(masked_BL=torch.zeros_like(batch.masked_BL))
