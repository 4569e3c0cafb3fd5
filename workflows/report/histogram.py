"""Counts of a statistic over fixed bins, so that shards add up and memory does not grow."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_DECADES, _PER_DECADE = 7, 6
SHARE_EDGES = np.linspace(0, 1, 41)
COUNT_EDGES = np.concatenate(([0.0], np.logspace(0, _DECADES, _DECADES * _PER_DECADE + 1)))
"""0 to 1 has a bin of its own, then six bins a power of ten."""


@dataclass
class Histogram:
    """How many documents lie between two edges; values beyond the last edge are in the last bin."""

    feature: str
    is_share: bool
    counts: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.edges) - 1, dtype=np.int64)

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """Where the bins begin and end."""
        return SHARE_EDGES if self.is_share else COUNT_EDGES

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Count the values of a shard; those that are not known (NaN) count nowhere."""
        known = values[~np.isnan(values)]
        inside = np.clip(known, self.edges[0], self.edges[-1])
        self.counts += np.histogram(inside, self.edges)[0]

    def place(self, value: float) -> float:
        """Return where a value lies on the axis, 0 to 1; an infinite limit lies outside it."""
        edges = self.edges
        if not edges[0] <= value <= edges[-1]:
            return -1.0 if value < edges[0] else 2.0
        bins = len(edges) - 1
        at = min(int(np.searchsorted(edges, value, side="right")) - 1, bins - 1)
        return float((at + (value - edges[at]) / (edges[at + 1] - edges[at])) / bins)
