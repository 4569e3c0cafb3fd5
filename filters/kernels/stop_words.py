"""Compiled search for the stop words of a document's language among its tokens."""

from typing import NamedTuple

import numpy as np

from filters.kernels.compiled import compiled, integer
from filters.kernels.repetition import find_slot, occupied, table_size
from filters.kernels.words import Hashes, Integers

NONE = -1
"""The list of a document whose language has none."""


class StopLists(NamedTuple):
    """L lists of stop words, and which of them each of N documents is measured by."""

    of_document: Integers
    """[N], a list or NONE."""
    bounds: Integers
    """[L + 1]; list l holds the stop words bounds[l] to bounds[l + 1]."""
    hashes: Hashes
    """[S], hashes of the stop words as `word_facts` makes them, white space left out."""
    sizes: Integers
    """[S], how many tokens each is made of."""


@compiled
def note_stop_words(found: Hashes, grams: Hashes, n: int, lists: StopLists, at: int) -> None:
    """Set found[i] to 1 where one of the n-grams is stop word i of list `at`, [stop words].

    `grams[i]` is the hash of n consecutive tokens, written without what is between them.
    """
    first, last = lists.bounds[at], lists.bounds[at + 1]
    keys = np.zeros(table_size(last - first), dtype=np.uint64)
    words = np.zeros(keys.size, dtype=np.int64)
    present = False
    for word in range(first, last):
        if lists.sizes[word] == n:
            slot = find_slot(keys, occupied(lists.hashes[word]))
            keys[slot], words[slot] = occupied(lists.hashes[word]), word - first
            present = True
    if not present:
        return
    for gram in range(integer(grams.size) - n + 1):
        slot = find_slot(keys, occupied(grams[gram]))
        if keys[slot]:
            found[words[slot]] = 1
