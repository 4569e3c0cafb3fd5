"""Compiled n-grams of folded tokens with their places, and their look-up in a hash table.

A token is a word (filters/text.py) or a single character, after folding; what folds to nothing is
none. A token *opens* where a break (a line's end, punctuation) or the text's edge lies before it;
with `anywhere` every token does.
"""

import numpy as np
import numpy.typing as npt

from filters.kernels.characters import DIGIT
from filters.kernels.compiled import compiled, integer
from filters.kernels.shingles import DROPPED, Folds
from filters.kernels.words import Bytes, Hashes, Integers, decode, mix, word_spans

Flags = npt.NDArray[np.bool_]
Slots = npt.NDArray[np.int32]

_BASE = np.uint64(0x9E3779B97F4A7C15)
_JOIN = np.uint64(0xC2B2AE3D27D4EB4F)
_LINE = np.uint64(0x632BE59BD9B4E019)
_ONE = np.uint64(1)
ABSENT = -1


@compiled
def folded_tokens(  # noqa: PLR0917
    data: Bytes,
    begin: int,
    end: int,
    properties: Bytes,
    folds: Folds,
    breaks: Flags,
    by_character: bool,
    anywhere: bool,
) -> tuple[Hashes, Integers, Integers, Flags, Flags]:
    """Return for each token its hash, first byte, last byte + 1, whether it is bare, and opens.

    Bare is what says nothing by itself: a number and, among words, a single letter of ASCII.
    """
    if by_character:
        starts, stops = character_spans(data, begin, end)
    else:
        starts, stops = word_spans(data, begin, end, properties)
    hashes = np.empty(starts.size, dtype=np.uint64)
    bare = np.empty(starts.size, dtype=np.bool_)
    opens = np.empty(starts.size, dtype=np.bool_)
    count, seen, is_open = 0, begin, True
    for token in range(starts.size):
        is_open |= _has_break(data, seen, integer(starts[token]), breaks)
        seen = integer(stops[token])
        value, is_bare = np.uint64(0), True
        at = integer(starts[token])
        while at < seen:
            code, width = decode(data, at, seen)
            fold = integer(folds[code])
            at += width
            if fold != DROPPED:
                value = value * _BASE + np.uint64(fold)
                is_bare = is_bare and properties[code] & DIGIT != 0
        if value == 0:
            is_open |= _has_break(data, integer(starts[token]), seen, breaks)
            continue
        is_bare |= not by_character and stops[token] - starts[token] == 1
        hashes[count], bare[count], opens[count] = mix(value), is_bare, is_open or anywhere
        starts[count], stops[count] = starts[token], stops[token]
        count += 1
        is_open = False
    return hashes[:count], starts[:count], stops[:count], bare[:count], opens[:count]


@compiled
def character_spans(data: Bytes, begin: int, end: int) -> tuple[Integers, Integers]:
    """Return where each character starts and stops, in bytes."""
    starts = np.empty(end - begin, dtype=np.int64)
    stops = np.empty(end - begin, dtype=np.int64)
    count, at = 0, begin
    while at < end:
        starts[count] = at
        at += decode(data, at, end)[1]
        stops[count] = at
        count += 1
    return starts[:count], stops[:count]


@compiled
def _has_break(data: Bytes, begin: int, end: int, breaks: Flags) -> bool:
    at = begin
    while at < end:
        code, width = decode(data, at, end)
        if breaks[code]:
            return True
        at += width
    return False


@compiled
def grams(hashes: Hashes, size: int) -> Hashes:
    """Return a hash for every `size` consecutive tokens, in order: [T - size + 1]."""
    total = max(hashes.size - size + 1, 0)
    found = np.empty(total, dtype=np.uint64)
    if total == 0:
        return found
    oldest = _ONE
    for _ in range(size):
        oldest *= _JOIN
    value = np.uint64(0)
    for token in range(hashes.size):
        value = value * _JOIN + hashes[token]
        if token >= size:
            value -= hashes[token - size] * oldest
        if token >= size - 1:
            found[token - size + 1] = mix(value)
    return found


@compiled
def telling(hashes: Hashes, bare: Flags, size: int, least: int) -> Flags:
    """Return which grams have at least `least` different tokens that are not bare."""
    tells = np.zeros(max(hashes.size - size + 1, 0), dtype=np.bool_)
    for first in range(tells.size):
        different = 0
        for token in range(first, first + size):
            is_new = not bare[token]
            for earlier in range(first, token):
                is_new = is_new and hashes[earlier] != hashes[token]
            different += is_new
        tells[first] = different >= least
    return tells


@compiled
def line_hash(hashes: Hashes) -> np.uint64:
    """Return the hash of a whole sequence of tokens; never that of a gram of as many."""
    value = _LINE
    for token in range(hashes.size):
        value = value * _JOIN + hashes[token]
    return mix(value)


@compiled
def hash_table(keys: Hashes) -> tuple[Hashes, Slots]:
    """Return an open-addressing table of distinct keys: key and row by slot, at most half full."""
    size = 4
    while size < 2 * keys.size:
        size *= 2
    slots = np.zeros(size, dtype=np.uint64)
    rows = np.full(size, ABSENT, dtype=np.int32)
    for row in range(keys.size):
        at = integer(keys[row] & np.uint64(size - 1))
        while rows[at] != ABSENT:
            at = (at + 1) & (size - 1)
        slots[at], rows[at] = keys[row], row
    return slots, rows


@compiled
def _row_of(key: np.uint64, slots: Hashes, rows: Slots) -> int:
    at = integer(key & np.uint64(slots.size - 1))
    while rows[at] != ABSENT:
        if slots[at] == key:
            return integer(rows[at])
        at = (at + 1) & (slots.size - 1)
    return ABSENT


@compiled
def look_up(  # noqa: PLR0917
    hashes: Hashes, opens: Flags, size: int, longest_line: int, slots: Hashes, rows: Slots
) -> tuple[Integers, Integers, Integers]:
    """Return what of a text stands in the table: row, first token and number of tokens of each.

    Looked up are every `size` consecutive tokens, and every sequence of at most `longest_line`
    that opens and is followed by one that opens, or by nothing.
    """
    values = grams(hashes, size)
    most = values.size + integer(opens.sum()) * longest_line
    found = np.empty(most, dtype=np.int64)
    firsts = np.empty(most, dtype=np.int64)
    lengths = np.empty(most, dtype=np.int64)
    count = 0
    for first in range(values.size):
        row = _row_of(values[first], slots, rows)
        if row != ABSENT:
            found[count], firsts[count], lengths[count] = row, first, size
            count += 1
    for first in range(hashes.size if longest_line else 0):
        if not opens[first]:
            continue
        value = _LINE
        for last in range(first, min(first + longest_line, hashes.size)):
            value = value * _JOIN + hashes[last]
            if last + 1 == hashes.size or opens[last + 1]:
                row = _row_of(mix(value), slots, rows)
                if row != ABSENT:
                    found[count], firsts[count] = row, first
                    lengths[count] = last + 1 - first
                    count += 1
    return found[:count], firsts[:count], lengths[:count]


@compiled
def count_found(  # noqa: PLR0917
    data: Bytes,
    offsets: Integers,
    properties: Bytes,
    folds: Folds,
    breaks: Flags,
    by_character: bool,
    anywhere: bool,
    size: int,
    longest_line: int,
    slots: Hashes,
    rows: Slots,
) -> Integers:
    """Return for each of N texts how much of it stands in the table (see look_up), int64[N]."""
    counts = np.zeros(offsets.size - 1, dtype=np.int64)
    for text in range(offsets.size - 1):
        hashes, _, _, _, opens = folded_tokens(
            data,
            offsets[text],
            offsets[text + 1],
            properties,
            folds,
            breaks,
            by_character,
            anywhere,
        )
        counts[text] = look_up(hashes, opens, size, longest_line, slots, rows)[0].size
    return counts
