"""Compiled counts of repeated n-grams of a document's tokens.

The formulas are datatrove's (filters/gopher_repetition_filter.py, 0.10.1) for the numbers of
Gopher's Table A1 (arXiv 2112.11446). Two n-grams are equal here when their 64-bit hashes are. Most
n-grams of most documents are unique, so both counts look at those alone that can repeat.
"""

from typing import NamedTuple

import numpy as np

from filters.kernels.compiled import compiled, integer
from filters.kernels.repetition import home_slot, table_size
from filters.kernels.tokens import Places, Tokens, hash_content
from filters.kernels.words import Bytes, Hashes, eight_bytes, mix, stirred

TOP, REPEATED = (2, 4), (5, 10)
"""The least and the most n of which the top n-gram is told, and repeated ones are counted."""
PREFIX = 14
"""Bytes that two equal n-grams begin with, both (any number is exact; this one is fast)."""

_LAST_STAMP = 2**31 - 1


class Grams(NamedTuple):
    """Memory for the n-grams of one document after the other, and a table from hash to place.

    A slot holds `stamp` plus the place where an n-gram was first seen, whose hash is `keys[place]`;
    what is below the stamp is left from earlier use, so nothing is cleared in between.
    """

    keys: Hashes
    counts: Places
    levels: Bytes
    chosen: Places
    slots: Places
    stamp: Places


@compiled
def gram_room(most: int) -> Grams:
    """Return arrays for documents of at most so many tokens."""
    return Grams(
        np.empty(most + 1, dtype=np.uint64),
        np.empty(most + 1, dtype=np.int32),
        np.empty(most + 1, dtype=np.uint8),
        np.empty(most + 1, dtype=np.int32),
        np.zeros(table_size(most), dtype=np.int32),
        np.ones(1, dtype=np.int32),
    )


@compiled
def _empty_table(grams: Grams, entries: int, places: int) -> tuple[Places, int]:
    """Return an empty table for so many entries and its stamp; their places are below `places`."""
    if integer(grams.stamp[0]) + 2 * places > _LAST_STAMP:
        grams.slots[:] = 0
        grams.stamp[0] = 1
    stamp = integer(grams.stamp[0])
    grams.stamp[0] += places
    return grams.slots[: table_size(entries)], stamp


@compiled
def _first(slots: Places, keys: Hashes, stamp: int, place: int) -> int:
    """Return the first place with the key of `place`, noting this one where there is none yet."""
    key = keys[place]
    mask = slots.size - 1
    slot = home_slot(key, mask)
    held = integer(slots[slot]) - stamp
    while (held >= 0) & (keys[max(held, 0)] != key):
        slot = (slot + 1) & mask
        held = integer(slots[slot]) - stamp
    first = place if held < 0 else held
    slots[slot] = stamp + first
    return first


@compiled
def top_gram_characters(found: Places, tokens: Tokens, count: int, grams: Grams) -> None:
    """Set `found` to occurrences times length of the most frequent n-gram, for each n of TOP.

    Ties go to the first seen; the length counts the n - 1 spaces between the words. A text without
    any repeated n-gram has a top one as well: its first. An n-gram repeats only where both of its
    (n-1)-grams do.
    """
    keys, counts, levels, chosen, _, _ = grams
    _, _, ends, hashes = tokens
    for place in range(count):
        keys[place], levels[place], chosen[place] = mix(hashes[place]), 1, place
    candidates = count - 1
    for n in range(TOP[0], TOP[1] + 1):
        found[n] = 0
        if count < n:
            continue
        if n > TOP[0]:
            candidates = _both_repeat(levels, chosen, candidates, n)
        slots, stamp = _empty_table(grams, candidates, count)
        top, most = 0, 1
        for index in range(candidates):
            place = integer(chosen[index])
            keys[place] = stirred(keys[place], hashes[place + n - 1])
            first = _first(slots, keys, stamp, place)
            again = integer(first != place)
            counts[first] = integer(counts[first]) * again + 1
            levels[place] = levels[first] = n - 1 + again
            if counts[first] > most or (counts[first] == most and first < top):
                top, most = first, integer(counts[first])
        found[n] = most * (ends[top + n] - ends[top] + n - 1)


@compiled
def _both_repeat(levels: Bytes, chosen: Places, candidates: int, n: int) -> int:
    """Leave the chosen places where two repeated (n-1)-grams begin one after the other."""
    left = 0
    for index in range(candidates):
        place = integer(chosen[index])
        chosen[left] = place
        left += (levels[place] == n - 1) & (levels[place + 1] == n - 1)
    return left


@compiled
def repeated_gram_characters(found: Places, tokens: Tokens, count: int, grams: Grams) -> None:
    """Set `found` to the characters in repeated n-grams, for each n of REPEATED.

    They are found greedily from the left: a first occurrence counts nothing; a repeat counts its
    characters (no spaces) and is skipped as a whole, so that no character counts twice. N-grams are
    equal when their tokens written one after the other are, wherever one ends.
    """
    keys, _, _, chosen, _, _ = grams
    content, places, ends, _ = tokens
    candidates = _choose(tokens, count, grams)
    for n in range(REPEATED[0], REPEATED[1] + 1):
        slots, stamp = _empty_table(grams, candidates, count)
        characters, after = 0, 0
        for index in range(candidates):
            place = integer(chosen[index])
            if place < after:
                continue
            if place + n > count:
                break
            begin, end = integer(places[place]), integer(places[place + n])
            keys[place] = hash_content(content, begin, end)
            if _first(slots, keys, stamp, place) != place:
                characters += integer(ends[place + n] - ends[place])
                after = place + n
        found[n] = characters


@compiled
def _choose(tokens: Tokens, count: int, grams: Grams) -> int:
    """Put the places whose n-grams can be equal to others in `chosen`; return how many.

    Two equal n-grams of PREFIX bytes or more begin with the same ones, so a place whose next PREFIX
    bytes are nowhere else has none of these; it has shorter ones if its shortest n-gram is shorter.
    """
    keys, _, levels, chosen, _, _ = grams
    content, places, _, _ = tokens
    total = max(0, count - REPEATED[0] + 1)
    slots, stamp = _empty_table(grams, total, count)
    for place in range(total):
        begin = integer(places[place])
        levels[place] = places[place + REPEATED[0]] - begin < PREFIX
        if begin + PREFIX <= places[count]:
            early, late = eight_bytes(content, begin), eight_bytes(content, begin + PREFIX - 8)
            keys[place] = stirred(mix(early), late)
            first = _first(slots, keys, stamp, place)
            again = first != place
            levels[place] |= again
            levels[first] |= again
    candidates = 0
    for place in range(total):
        chosen[candidates] = place
        candidates += levels[place]
    return candidates
