"""Counts of a statistic over fixed bins, so that shards add up and memory does not grow."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from filters.rules import Rule

_POWERS = tuple(10.0**decade for decade in range(1, 8))
_STEPS = (1, 1.5, 2, 3, 5, 7)
SHARE_EDGES = np.linspace(0, 1, 41)
COUNT_EDGES = np.array(
    [*range(10), *(power * step for power in _POWERS[:-1] for step in _STEPS), _POWERS[-1]]
)
"""A bin for each of 0 to 9, then six a power of ten; all edges are whole, as most limits are."""


@dataclass
class Histogram:
    """How many documents lie between two edges; values beyond the last edge are in the last bin."""

    feature: str
    is_share: bool
    is_whole: bool = False
    """Whether values are whole numbers."""
    low: float = math.inf
    high: float = -math.inf
    counts: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.edges) - 1, dtype=np.int64)

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """Where the bins begin and end."""
        return SHARE_EDGES if self.is_share else COUNT_EDGES

    @property
    def powers(self) -> tuple[float, ...]:
        """Where a logarithmic axis is labelled."""
        return () if self.is_share else _POWERS

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Count the values of a shard; those that are not known (NaN) count nowhere."""
        known = values[~np.isnan(values)]
        if known.size:
            self.low, self.high = min(self.low, known.min()), max(self.high, known.max())
        inside = np.clip(known, self.edges[0], self.edges[-1])
        self.counts += np.histogram(inside, self.edges)[0]

    def border(self, rule: Rule) -> float:
        """Return where what a rule drops begins: of whole numbers above 0, at 1."""
        if not self.is_whole or not math.isfinite(rule.limit):
            return rule.limit
        return float(math.ceil(rule.limit) if rule.drop == "below" else math.floor(rule.limit) + 1)

    def place(self, value: float) -> float:
        """Return how many bins lie below a value; an infinite one lies outside of all."""
        edges, bins = self.edges, len(self.edges) - 1
        if not edges[0] <= value <= edges[-1]:
            return -math.inf if value < edges[0] else math.inf
        at = min(int(np.searchsorted(edges, value, side="right")) - 1, bins - 1)
        return float(at + (value - edges[at]) / (edges[at + 1] - edges[at]))

    def window(self, borders: Iterable[float]) -> tuple[int, int]:
        """Return the first bin worth drawing and the one after the last: values and borders."""
        used = np.flatnonzero(self.counts).tolist() or [0]
        places = [place for place in map(self.place, borders) if math.isfinite(place)]
        first = min([used[0], *map(math.floor, places)])
        last = max([used[-1] + 1, *map(math.ceil, places)])
        return max(0, first - 1), min(len(self.counts), last + 1)
