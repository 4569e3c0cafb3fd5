"""True similarity of documents: overlaps of their sets of shingles, counted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ShingleSets:
    """N sets: set i is `values[offsets[i]:offsets[i + 1]]`, sorted, nothing twice."""

    values: npt.NDArray[np.uint64]
    offsets: Integers

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def concatenated(cls, parts: Sequence["ShingleSets"]) -> "ShingleSets":
        """Return the sets of all parts, in order."""
        sizes = [np.diff(part.offsets) for part in parts]
        offsets = np.concatenate([np.zeros(1, np.int64), *sizes]).cumsum()
        values = [part.values[part.offsets[0] : part.offsets[-1]] for part in parts]
        return cls(np.concatenate([np.empty(0, np.uint64), *values]), offsets)

    def overlaps(self, left: Integers, right: Integers) -> tuple[Integers, Integers, Integers]:
        """Return for P pairs of sets: elements both have, those of the left, of the right."""
        from filters.kernels.sets import shared_counts  # numba takes a second to import

        sizes = np.diff(self.offsets)
        shared = shared_counts(self.values, self.offsets, left, right)
        return shared, sizes[left], sizes[right]


def jaccard(shared: Integers, left: Integers, right: Integers) -> Shares:
    """Return |A and B| / |A or B| from counts of sets that are not empty."""
    return shared / (left + right - shared)


def containment(shared: Integers, left: Integers, right: Integers) -> Shares:
    """Return |A and B| / min(|A|, |B|) from counts of sets that are not empty."""
    return shared / np.minimum(left, right)
