"""Compiled set operations: overlaps of sorted sets, and union-find over an array of edges."""

import numpy as np

from filters.kernels.compiled import compiled
from filters.kernels.words import Hashes, Integers


@compiled
def shared_counts(values: Hashes, offsets: Integers, left: Integers, right: Integers) -> Integers:
    """Return how many elements the sets of each of P pairs share; sets are sorted slices."""
    counts = np.zeros(left.size, dtype=np.int64)
    for pair in range(left.size):
        a, a_end = offsets[left[pair]], offsets[left[pair] + 1]
        b, b_end = offsets[right[pair]], offsets[right[pair] + 1]
        count = 0
        while a < a_end and b < b_end:
            x, y = values[a], values[b]
            count += x == y
            a += x <= y
            b += y <= x
        counts[pair] = count
    return counts


@compiled
def components(nodes: int, left: Integers, right: Integers) -> Integers:
    """Return for each of `nodes` nodes the smallest node that edges connect it with."""
    parents = np.arange(nodes)
    for edge in range(left.size):
        a, b = left[edge], right[edge]
        while parents[a] != a:
            parents[a] = parents[parents[a]]
            a = parents[a]
        while parents[b] != b:
            parents[b] = parents[parents[b]]
            b = parents[b]
        if a < b:
            parents[b] = a
        else:
            parents[a] = b
    for node in range(nodes):  # parents are smaller: each is final before it is asked
        parents[node] = parents[parents[node]]
    return parents
