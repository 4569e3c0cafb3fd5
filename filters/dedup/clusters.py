"""Clusters of documents: connected components of edges, as stars."""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def stars(left: Integers, right: Integers) -> tuple[Integers, Integers]:
    """Return every node that edges name, sorted, and the smallest node it is connected with.

    The edges (node, root) connect the same nodes as the edges given: stars of parts of a graph,
    put together, have the stars of the whole. So they are merged in a tree, 16 bytes a node.
    """
    from filters.kernels.sets import components  # numba takes a second to import

    nodes, places = np.unique(np.concatenate([left, right]), return_inverse=True)
    roots = components(len(nodes), places[: len(left)], places[len(left) :])
    return nodes, nodes[roots]
