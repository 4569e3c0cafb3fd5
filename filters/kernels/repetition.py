"""Compiled sets of hashes, and counts of the lines and paragraphs that a document repeats.

The formulas are datatrove's (filters/gopher_repetition_filter.py, 0.10.1) for the numbers of
Gopher's Table A1 (arXiv 2112.11446). Two texts are equal here when their 64-bit hashes are.
"""

import numpy as np

from filters.kernels.compiled import compiled, integer
from filters.kernels.words import (
    Bytes,
    Hashes,
    count_byte,
    count_characters,
    eight_bytes,
    hash_wide,
)

_NEWLINE = 10
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_ONES = np.uint64(0x0101010101010101)
_HIGHEST_BITS = np.uint64(0x8080808080808080)
_SPREAD = np.uint64(0x9FB21C651E98DF25)
_HIGH = np.uint64(32)
_ZERO = np.uint64(0xA0761D6478BD642F)


@compiled
def table_size(entries: int) -> int:
    """Return the slots of an open-addressing table at most a quarter full: a power of two."""
    size = 8
    while size < 4 * entries:
        size *= 2
    return size


@compiled
def occupied(key: np.uint64) -> np.uint64:
    """Return a key as tables hold it: 0 marks a free slot."""
    return key if key else _ZERO


@compiled
def home_slot(key: np.uint64, mask: int) -> int:
    """Return where the search for a key begins, in a table of mask + 1 slots."""
    return integer((key * _SPREAD) >> _HIGH) & mask


@compiled
def find_slot(keys: Hashes, key: np.uint64) -> int:
    """Return the slot that holds an `occupied` key, or the free one where it belongs."""
    mask = keys.size - 1
    slot = home_slot(key, mask)
    while keys[slot] and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@compiled
def seen_before(keys: Hashes, key: np.uint64) -> bool:
    """Add `key` to a table; return whether it was there."""
    key = occupied(key)
    slot = find_slot(keys, key)
    seen = keys[slot] == key
    keys[slot] = key
    return bool(seen)


@compiled
def next_newline(data: Bytes, at: int, end: int) -> int:
    """Return where the next line break is from `at`, or `end`."""
    while at + 8 <= end:
        word = eight_bytes(data, at) ^ _NEWLINES
        if (word - _ONES) & ~word & _HIGHEST_BITS:  # a byte of it is 0
            break
        at += 8
    while at < end and data[at] != _NEWLINE:
        at += 1
    return at


@compiled
def repeated_spans(data: Bytes, begin: int, end: int, newlines: int) -> tuple[int, int, int]:
    r"""Return the spans of a text, how many repeat an earlier one, and their characters.

    The spans are those of re.split("\n{newlines,}", text), empty ones at the ends included.
    """
    capacity = count_byte(data, begin, end, _NEWLINE) + 2
    keys = np.zeros(table_size(capacity), dtype=np.uint64)
    spans, repeats, characters = 0, 0, 0
    start, at = begin, begin
    while True:
        at = next_newline(data, at, end)
        stop = at
        while at < end and data[at] == _NEWLINE:
            at += 1
        if at - stop < newlines:
            if at < end:
                continue
            stop = at
        spans += 1
        if seen_before(keys, hash_wide(data, start, stop)):
            repeats += 1
            characters += count_characters(data, start, stop)
        start = at
        if at == end:
            break
    if stop < end:  # a separator at the very end is followed by one more, empty span
        spans += 1
        repeats += seen_before(keys, hash_wide(data, end, end))
    return spans, repeats, characters
