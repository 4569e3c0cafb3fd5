"""What MinHash should find: true Jaccard of every two documents, no hashing into buckets."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from filters.dedup import MinHash, jaccard, stars


class Truth(NamedTuple):
    """All pairs of a threshold or more, by row; `root` names each row's cluster by its smallest."""

    left: np.ndarray
    right: np.ndarray
    root: np.ndarray


def truth(texts: pa.Array, family: MinHash, threshold: float, *, at_once: int = 1 << 20) -> Truth:
    """Compare every two of N texts; only pairs whose set sizes rule the threshold out are spared.

    J(A, B) <= min(|A|, |B|) / max(|A|, |B|), so with sets sorted by size the partners of each are
    a range.
    """
    sets = family.shingle_sets(texts)
    sizes = np.diff(sets.offsets)
    order = np.argsort(sizes, kind="stable")
    ends = np.searchsorted(sizes[order], sizes[order] / threshold, side="right")
    left: list[np.ndarray] = []
    right: list[np.ndarray] = []
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    held = 0
    for place, end in enumerate(ends):
        partners = order[place + 1 : end]
        waiting.append((np.full(len(partners), order[place]), partners))
        held += len(partners)
        if held >= at_once or place == len(ends) - 1:
            a, b = (np.concatenate(column) for column in zip(*waiting, strict=True))
            alike = jaccard(*sets.overlaps(a, b)) >= threshold
            left.append(a[alike])
            right.append(b[alike])
            waiting, held = [], 0
    ends_left, ends_right = np.concatenate(left), np.concatenate(right)
    nodes, roots = stars(ends_left, ends_right)
    root = np.arange(len(sets))
    root[nodes] = roots
    return Truth(ends_left, ends_right, root)


class Quality(NamedTuple):
    """How a dedup compares with the truth; shares of 1."""

    recall: float
    """Of the documents that brute force would remove: all but one of each of its clusters."""
    pair_recall: float
    """Of the pairs of brute force, both of which we put into one cluster."""
    precision: float
    """Of the documents removed: those that have a partner of the threshold or more."""
    direct: float
    """Of the documents removed: those that are so similar to the very document named as kept."""


def quality(texts: pa.Array, found: Truth, copy_of: dict[int, int], family: MinHash) -> Quality:
    """Return how well row -> row that is kept instead agrees with the truth."""
    cluster = np.arange(len(texts))
    for row, kept in copy_of.items():
        cluster[row] = kept
    dropped = np.array(sorted(copy_of), dtype=np.int64)
    kept = cluster[dropped]
    _, sizes = np.unique(found.root, return_counts=True)
    roots, gone = np.unique(found.root[dropped], return_counts=True)
    least = sizes[np.searchsorted(np.unique(found.root), roots)] - 1
    partnered = np.isin(dropped, np.concatenate([found.left, found.right]))
    similar = jaccard(*family.shingle_sets(texts).overlaps(dropped, kept))
    pairs = max(1, len(found.left))
    return Quality(
        recall=float(np.minimum(gone, least).sum()) / max(1, int((sizes - 1).sum())),
        pair_recall=float((cluster[found.left] == cluster[found.right]).sum()) / pairs,
        precision=float(partnered.mean()) if len(dropped) else 1.0,
        direct=float((similar >= 0.8).mean()) if len(dropped) else 1.0,
    )
