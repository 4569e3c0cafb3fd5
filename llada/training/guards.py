"""Watches a run for numbers that mean it is lost: NaN, Inf, and losses or gradients that stay high.

What is watched is equal on all ranks, and what is normal follows from the record alone, so every
rank, and a run that was killed and resumed, comes to the same verdict at the same step.
"""

import math
from collections import deque
from collections.abc import Iterable
from statistics import median
from typing import Literal, NamedTuple

from llada.training.guard_config import GuardConfig
from llada.training.job import StepMetrics

_TO_SIGMA = 1.4826  # a normal distribution's standard deviation in units of its MAD
_LEAST_SPREAD = 0.02  # of the median: a converged loss hardly moves, and may still move a little
_LEAST_EXCESS = 0.5  # nats: below it nothing is lost, whatever the run's own spread
_LEAST_NORM_RATIO = 10.0  # single rows at small t, weighed by 1/t, push the norm about that far
_LEAST_NORM = 10.0  # who has learnt the rows by heart stumbles at ten times 0.1, unharmed


class Trouble(NamedTuple):
    """A spike: from which step to which, what it shows in, its last value and what was allowed."""

    first: int
    last: int
    what: Literal["loss", "gradient norm"]
    value: float
    limit: float


class Guard:
    """Takes the steps of a run in order and says when it is lost."""

    def __init__(self, config: GuardConfig, history: Iterable[StepMetrics] = ()) -> None:
        """Learn from the steps that led to the weights at hand."""
        self._config = config
        self._losses: deque[float] = deque(maxlen=config.window)
        self._norms: deque[float] = deque(maxlen=config.window)
        self._high: list[int] = []
        for metrics in history:
            self.look(metrics)

    @property
    def suspects(self) -> bool:
        """Whether the last step was too high: no moment for a checkpoint to go back to."""
        return bool(self._high)

    def look(self, metrics: StepMetrics) -> Trouble | None:
        """Take the next step; return the trouble it completes, if it does.

        Watched is the plain mean cross-entropy of the masked tokens: the loss proper weighs rows by
        1/t and jumps by chance. High steps do not become what is normal unless the next is fine.
        """
        for what, value in (("loss", metrics.loss), ("gradient norm", metrics.grad_norm)):
            if not math.isfinite(value):
                first = self._high[0] if self._high else metrics.step
                return Trouble(first, metrics.step, what, value, math.inf)  # type: ignore[arg-type]
        watched = metrics.loss if metrics.cross_entropy is None else metrics.cross_entropy
        found = self._above(watched, metrics.grad_norm)
        if found is None:
            self._high.clear()
            self._losses.append(watched)
            self._norms.append(metrics.grad_norm)
            return None
        self._high.append(metrics.step)
        if len(self._high) < self._config.patience:
            return None
        what, value, limit = found
        return Trouble(self._high[0], metrics.step, what, value, limit)

    def _above(
        self, loss: float, norm: float
    ) -> tuple[Literal["loss", "gradient norm"], float, float] | None:
        if len(self._losses) < self._config.window // 2:
            return None
        limit = max(
            _limit(self._losses, self._config.deviations, _LEAST_SPREAD),
            median(self._losses) + _LEAST_EXCESS,
        )
        if loss > limit:
            return "loss", loss, limit
        logs = [math.log(max(each, 1e-30)) for each in self._norms]
        # In logarithms: norms fall and rise by factors.
        highest = max(
            _limit(logs, self._config.deviations, 0.0),
            median(logs) + math.log(_LEAST_NORM_RATIO),
            math.log(_LEAST_NORM),
        )
        if math.log(max(norm, 1e-30)) > highest:
            return "gradient norm", norm, math.exp(min(highest, 700.0))
        return None


def _limit(values: Iterable[float], deviations: float, least: float) -> float:
    """Return median + deviations * (robust standard deviation, at least `least` of the median)."""
    known = list(values)
    middle = median(known)
    spread = _TO_SIGMA * median(abs(value - middle) for value in known)
    return middle + deviations * max(spread, least * abs(middle))
