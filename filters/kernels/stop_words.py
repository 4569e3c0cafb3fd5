"""Compiled search for the stop words of a document's language among its tokens."""

from typing import NamedTuple

import numpy as np

from filters.kernels.compiled import compiled, integer
from filters.kernels.repetition import find_slot, occupied, table_size
from filters.kernels.tokens import Tokens, hash_content
from filters.kernels.words import Bytes, Hashes, Integers

NONE = -1
"""The list of a document whose language has none."""
MOST_TOKENS = 10
"""A stop word of more tokens is never found; the longest published one has fewer."""


class StopLists(NamedTuple):
    """L lists of stop words, and which of them each of N documents is measured by."""

    of_document: Integers
    """[N], a list or NONE."""
    bounds: Integers
    """[L + 1]; list l holds the stop words bounds[l] to bounds[l + 1]."""
    hashes: Hashes
    """[S], `hash_content` of the stop words, white space left out."""
    sizes: Integers
    """[S], how many tokens each is made of."""


@compiled
def count_stop_words(tokens: Tokens, count: int, lists: StopLists, at: int) -> int:
    """Return how many stop words of list `at` are among the tokens of a document."""
    first, last = lists.bounds[at], lists.bounds[at + 1]
    found = np.zeros(last - first, dtype=np.uint8)
    for n in range(1, MOST_TOKENS + 1):
        _note_stop_words(found, tokens, count, n, lists, first)
    return integer(found.sum())


@compiled
def _note_stop_words(  # noqa: PLR0917
    found: Bytes, tokens: Tokens, count: int, n: int, lists: StopLists, first: int
) -> None:
    """Set found[i] to 1 where n tokens, written without what is between them, are stop word i."""
    keys = np.zeros(table_size(found.size), dtype=np.uint64)
    words = np.zeros(keys.size, dtype=np.int64)
    present = False
    for word in range(found.size):
        if lists.sizes[first + word] == n:
            key = occupied(lists.hashes[first + word])
            slot = find_slot(keys, key)
            keys[slot], words[slot] = key, word
            present = True
    if not present:
        return
    for token in range(count - n + 1):
        gram = tokens.hashes[token]
        if n > 1:
            gram = hash_content(tokens.content, tokens.places[token], tokens.places[token + n])
        slot = find_slot(keys, occupied(gram))
        if keys[slot]:
            found[words[slot]] = 1
