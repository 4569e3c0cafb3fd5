"""Keeps a run on its course: what earlier spikes have changed, and the guard that looks for more.

A rollback is a resume: the engine is built anew from an earlier checkpoint, through the same code
as after a kill, so what is true of one is true of the other.
"""

import logging
from pathlib import Path
from typing import TypeVar

import torch.distributed as dist

from llada.training.checkpoint import Checkpoints, complete_checkpoints, discard
from llada.training.config import TrainingConfig
from llada.training.guards import Guard, Trouble
from llada.training.interventions import (
    Intervention,
    data_step,
    decide,
    rate_factor,
    read_interventions,
    record,
    remedy_for,
)
from llada.training.job import StepMetrics
from llada.training.record import METRICS, read_metrics
from llada.training.schedule import warmup_stable_decay

Value = TypeVar("Value")

logger = logging.getLogger(__name__)


class Course:
    """The rate and the data of each step, and whether the run is still sound; equal on all ranks.

    Collective: all ranks of the default process group build it together.
    """

    def __init__(self, root: Path, training: TrainingConfig, first: int) -> None:
        """Read, on rank 0, what led to the weights after `first` steps."""
        self._root, self._training = root, training
        box: list[tuple[list[Intervention], Guard] | None] = [None]
        if dist.get_rank() == 0:
            history = read_metrics(root / METRICS, first) if first else []
            box = [(read_interventions(root), Guard(training.guard, history))]
        dist.broadcast_object_list(box, src=0)
        assert box[0] is not None
        self.interventions, self._guard = box[0]

    @property
    def given_up(self) -> bool:
        """Whether the run stopped itself, in this or an earlier attempt."""
        return bool(self.interventions) and self.interventions[-1].remedy == "stop"

    @property
    def sound(self) -> bool:
        """Whether the weights may become a checkpoint: not while a spike may be under way."""
        return not self._guard.suspects

    def data_step(self, step: int) -> int:
        """Return which step's rows and noise to read."""
        return data_step(step, self.interventions)

    def rate(self, step: int) -> float:
        """Return the learning rate, lowered where a spike asked for it."""
        scheduled = warmup_stable_decay(step, self._training.steps, self._training.schedule)
        return scheduled * rate_factor(step, self.interventions)

    def look(self, metrics: StepMetrics) -> Trouble | None:
        """Take the step just done; return the trouble it completes, if it does."""
        return self._guard.look(metrics)

    def roll_back(self, trouble: Trouble, checkpoints: Checkpoints) -> bool:
        """Decide what to do about `trouble`; return whether the run goes on. Collective.

        It goes on from a good checkpoint: one after which a sound step was seen, so older than the
        first bad step. Those that are not go first, then the decision is written: a run killed in
        between finds the same trouble again.
        """
        checkpoints.wait()
        remedy = remedy_for(self._training.guard, self.interventions)
        if dist.get_rank() == 0:
            found = complete_checkpoints(self._root)
            good = [checkpoint for checkpoint in found if checkpoint.step < trouble.first]
            back_to = good[0].step if good else 0
            decided = decide(trouble, self._training.guard, self.interventions, back_to)
            if remedy != "stop":
                for checkpoint in found:
                    if checkpoint not in good:
                        discard(checkpoint)
            record(self._root, decided)
            logger.warning("intervention %d: %s", decided.number, decided.sentence())
        dist.barrier()
        return remedy != "stop"
