"""A compiled pass over the tokens of one document, and memory for it that documents share."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters.kernels.characters import CLASS, DIGIT, SPACE, SYMBOL, WORD, properties
from filters.kernels.compiled import compiled, integer
from filters.kernels.words import (
    ATTACHED,
    BETWEEN,
    OPENS,
    Bytes,
    Hashes,
    Integers,
    decode,
    eight_bytes,
    joins,
    role,
    stirred,
)

Places = npt.NDArray[np.int32]

PADDING = 16
"""Bytes of `content` after its end, so that eight can be read at its last one."""

_SIZE = np.uint64(0x9E3779B97F4A7C15)
_IDENTITY = 0xFF
"""Of two ASCII characters, the same in words, and in runs of one symbol."""
_WORD_BIT, _DIGIT, _APOSTROPHE, _JOINT, _INSIDE = (1 << bit for bit in range(8, 13))
_INSIDE_SHIFT = 12
_WORD, _MAY_JOIN = _WORD_BIT | _IDENTITY, _APOSTROPHE | _JOINT
_FOREIGN = 0xFE
"""Nothing that an ASCII character could continue."""
_EIGHT, _ALL = np.uint64(8), np.uint64(0xFFFFFFFFFFFFFFFF)


def _ascii() -> npt.NDArray[np.uint16]:
    """Return what the grammar of words asks of the ASCII characters, uint16[128]."""
    bits = np.full(128, _FOREIGN, dtype=np.uint16)
    for byte in range(128):
        found = properties(chr(byte))
        if found & CLASS == WORD:
            bits[byte] = _INSIDE | _WORD | (_DIGIT if found & DIGIT else 0)
        elif found & CLASS == SYMBOL:
            bits[byte] = _INSIDE | byte
    bits[ord("'")] |= _APOSTROPHE
    bits[[ord("."), ord(",")]] |= _JOINT
    return bits


_ASCII = _ascii()


class Tokens(NamedTuple):
    """The T tokens of one document, in arrays with room for the longest of a batch.

    `content` are their bytes, without what is between them: token t is
    `content[places[t]:places[t + 1]]`, and `ends` are running totals of characters, [T + 1].
    """

    content: Bytes
    places: Places
    ends: Places
    hashes: Hashes
    """[T], `hash_content` of each."""


@compiled
def room(most: int) -> Tokens:
    """Return arrays for documents of at most so many bytes."""
    return Tokens(
        np.empty(most + PADDING, dtype=np.uint8),
        np.empty(most + 1, dtype=np.int32),
        np.empty(most + 1, dtype=np.int32),
        np.empty(most, dtype=np.uint64),
    )


@compiled
def hash_content(content: Bytes, begin: int, end: int) -> np.uint64:
    """Return a hash of padded bytes."""
    value = np.uint64(end - begin) * _SIZE
    while begin + 8 < end:
        value = stirred(value, eight_bytes(content, begin))
        begin += 8
    return stirred(value, _last(content, begin, end)) if begin < end else value


@compiled
def _last(content: Bytes, begin: int, end: int) -> np.uint64:
    """Return one to eight bytes."""
    unused = _EIGHT * (_EIGHT - np.uint64(end - begin))
    return eight_bytes(content, begin) & (_ALL >> unused)


@compiled
def text_hashes(data: Bytes, offsets: Integers) -> Hashes:
    """Return `hash_content` of each of N texts in padded bytes."""
    hashes = np.empty(offsets.size - 1, dtype=np.uint64)
    for text in range(hashes.size):
        hashes[text] = hash_content(data, offsets[text], offsets[text + 1])
    return hashes


@compiled
def find_tokens(  # noqa: C901  one loop with one state, as the grammar is
    tokens: Tokens, data: Bytes, begin: int, end: int, properties: Bytes
) -> int:
    """Fill `tokens` with those of `words="unicode"`; return how many.

    Between ASCII characters the grammar is arithmetic, without a branch on what they are: guessing
    where words end costs a processor more than all else.
    """
    content, places, ends, _ = tokens
    count, place, continued = 0, 0, 0
    base_class, base_code, base_bits = SPACE, -1, 0
    at = begin
    while at < end:
        run = at
        base = _FOREIGN
        if base_class == WORD:
            base = _INSIDE | _WORD | (_DIGIT if base_bits & DIGIT else 0)
        elif base_class == SYMBOL and base_code < 0x80:
            base = _INSIDE | base_code
        while at + 1 < end and (data[at] | data[at + 1]) < 0x80:
            byte = integer(data[at])
            this = integer(_ASCII[byte])
            if this & _MAY_JOIN and base & _WORD_BIT:
                after = integer(_ASCII[data[at + 1]])
                numeric = this & _JOINT and base & after & _DIGIT
                if numeric or (this & _APOSTROPHE and after & _WORD_BIT):
                    this = base
            inside = this >> _INSIDE_SHIFT
            places[count], ends[count] = place, place - continued
            count += inside & integer((this ^ base) & _IDENTITY != 0)
            content[place] = byte
            place += inside
            base = this
            at += 1
        if at > run:
            base_class = WORD if base & _WORD_BIT else (SYMBOL if base & _INSIDE else SPACE)
            base_code, base_bits = base & 0xFF, DIGIT if base & _DIGIT else 0
        code, width = decode(data, at, end)
        bits = integer(properties[code])
        kind = bits & CLASS
        joined = False
        if kind == SYMBOL and base_class == WORD:
            joined = joins(data, at + width, end, properties, code, base_bits)
        what = role(kind, code, joined, base_class, base_code)
        if what != ATTACHED:
            base_class, base_code, base_bits = kind, code, bits
        if what == OPENS:
            places[count], ends[count] = place, place - continued
            count += 1
        if what != BETWEEN:
            for follower in range(width):
                content[place + follower] = data[at + follower]
            place += width
            continued += width - 1
        at += width
    places[count], ends[count] = place, place - continued
    _hash_tokens(tokens, count)
    return count


@compiled
def read_tokens(tokens: Tokens, data: Bytes, starts: Integers, stops: Integers) -> int:
    """Fill `tokens` from where they start and stop in `data`; return how many."""
    content, places, ends, _ = tokens
    place, characters = 0, 0
    places[0] = ends[0] = 0
    for token in range(starts.size):
        at, stop = integer(starts[token]), integer(stops[token])
        while at < stop:
            content[place] = data[at]
            characters += data[at] & 0xC0 != 0x80
            place += 1
            at += 1
        places[token + 1], ends[token + 1] = place, characters
    _hash_tokens(tokens, starts.size)
    return integer(starts.size)


@compiled
def _hash_tokens(tokens: Tokens, count: int) -> None:
    content, places, _, hashes = tokens
    for token in range(count):
        begin, end = integer(places[token]), integer(places[token + 1])
        if end - begin > 8:
            hashes[token] = hash_content(content, begin, end)
        else:
            hashes[token] = stirred(np.uint64(end - begin) * _SIZE, _last(content, begin, end))
