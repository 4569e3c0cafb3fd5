"""Compiled passes for words that another tokenizer defines: find chunks, look up their tokens.

A chunk is a run of characters without white space, cut after at most LONGEST_CHUNK bytes. What the
tokenizer made of a chunk is kept in a table, so that it is asked once.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters.kernels.characters import CLASS, SPACE
from filters.kernels.compiled import compiled, integer
from filters.kernels.repetition import find_slot, occupied
from filters.kernels.words import Bytes, Hashes, Integers, decode

LONGEST_CHUNK = 256
"""In bytes. spaCy's time is quadratic in the length of a chunk: 256 brackets take it 6 ms."""

Slots = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.uint16]

_BASE = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)


class ChunkTable(NamedTuple):
    """An open-addressing table from a chunk's hash to the tokens of entry e, bytes from its start.

    They are `starts[firsts[e]:firsts[e + 1]]`, with `stops` alike; `slots[k]` is e for `keys[k]`.
    """

    keys: Hashes
    slots: Slots
    firsts: Integers
    starts: Offsets
    stops: Offsets


class Place(NamedTuple):
    """How far a batch has been read: byte `at` of a document."""

    document: int
    at: int


@compiled
def next_chunk(
    data: Bytes, at: int, end: int, properties: Bytes
) -> tuple[int, int, np.uint64, bool]:
    """Return start, stop and hash of the next chunk, and whether it was cut; start = end: none."""
    while at < end:
        code, width = decode(data, at, end)
        if integer(properties[code]) & CLASS != SPACE:
            break
        at += width
    start = at
    value = np.uint64(0)
    while at < end:
        code, width = decode(data, at, end)
        if integer(properties[code]) & CLASS == SPACE:
            return start, at, value, False
        if at + width - start > LONGEST_CHUNK:
            return start, at, value, True
        for byte in range(at, at + width):
            value = value * _BASE + np.uint64(data[byte]) + _ONE
        at += width
    return start, at, value, False


@compiled
def reserve_unseen(  # noqa: PLR0917
    data: Bytes,
    offsets: Integers,
    place: Place,
    properties: Bytes,
    table: ChunkTable,
    limit: int,
) -> tuple[Integers, Integers, Place]:
    """Enter up to `limit` chunks that the table lacks; return their bytes and how far it got.

    They get the next entries in the order of the text. The table must have room for them.
    """
    starts, stops = np.empty(limit, dtype=np.int64), np.empty(limit, dtype=np.int64)
    count, entry = 0, table.firsts.size - 1
    document, at = place.document, place.at
    while document < offsets.size - 1:
        end = offsets[document + 1]
        while at < end:
            start, stop, value, _ = next_chunk(data, at, end, properties)
            if start < end:
                key = occupied(value)
                slot = find_slot(table.keys, key)
                if not table.keys[slot]:
                    if count == limit:
                        return starts, stops, Place(document, at)
                    table.keys[slot] = key
                    table.slots[slot] = entry + count
                    starts[count], stops[count] = start, stop
                    count += 1
            at = stop
        document += 1
        at = end
    return starts[:count], stops[:count], Place(document, at)


@compiled
def lay_out(  # noqa: PLR0917
    data: Bytes,
    offsets: Integers,
    place: Place,
    until: Place,
    properties: Bytes,
    table: ChunkTable,
    starts: Integers,
    stops: Integers,
    firsts: Integers,
    cuts: Integers,
    count: int,
) -> int:
    """Write the tokens of all chunks between two places behind the first `count`; return how many.

    The table must hold every chunk. Document d gets `starts[firsts[d]:firsts[d + 1]]`, and
    `cuts[d]` counts the chunks that were cut for their length.
    """
    document, at = place.document, place.at
    while document < until.document or (document == until.document and at < until.at):
        end = integer(offsets[document + 1])
        last = end if document < until.document else until.at
        while at < last:
            start, stop, value, cut = next_chunk(data, at, end, properties)
            if start < end:
                cuts[document] += cut
                entry = table.slots[find_slot(table.keys, occupied(value))]
                for token in range(table.firsts[entry], table.firsts[entry + 1]):
                    starts[count] = start + integer(table.starts[token])
                    stops[count] = start + integer(table.stops[token])
                    count += 1
            at = stop
        firsts[document + 1] = count
        document += 1
        at = end
    return count


@compiled
def moved(keys: Hashes, slots: Slots, size: int) -> tuple[Hashes, Slots]:
    """Return the table's keys and slots in `size` slots, a power of two."""
    new_keys, new_slots = np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.int32)
    for old in range(keys.size):
        if keys[old]:
            slot = find_slot(new_keys, keys[old])
            new_keys[slot], new_slots[slot] = keys[old], slots[old]
    return new_keys, new_slots
