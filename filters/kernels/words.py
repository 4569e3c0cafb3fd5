"""Compiled passes over the UTF-8 bytes of one document: characters and words.

Every kernel takes the whole buffer `data` (uint8) and a byte range [begin, end) of it, and is
linear in its length whatever the bytes are: invalid UTF-8 gives odd code points, never a read
past `end`.
"""

import numpy as np
import numpy.typing as npt

from filters.kernels.characters import (
    CLASS,
    DIGIT,
    EXTEND,
    KATAKANA,
    SPACE,
    SYMBOL,
    WORD,
)
from filters.kernels.compiled import compiled, integer

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

_BASE = np.uint64(0x9E3779B97F4A7C15)
_STIR = np.uint64(0xD6E8FEB86659FD93)
_ONE = np.uint64(1)
_HALF = np.uint64(32)
_DOT, _COMMA = 46, 44
_APOSTROPHES = (0x27, 0x2019)
BETWEEN, OPENS, CONTINUES, ATTACHED = range(4)
"""What a character is to the tokens of a text."""


@compiled
def decode(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return the code point at byte `at`, and the number of bytes it takes."""
    first = integer(data[at])
    if first < 0x80:
        return first, 1
    width = 2 if first < 0xE0 else (3 if first < 0xF0 else 4)
    if at + width > end:
        return 0xFFFD, 1
    code_point = first & (0x7F >> width)
    for follower in range(at + 1, at + width):
        code_point = code_point << 6 | integer(data[follower]) & 0x3F
    return integer(min(code_point, 0x10FFFF)), width


@compiled
def mix(value: np.uint64) -> np.uint64:
    """Return a bijective scrambling of 64 bits."""
    value = (value ^ (value >> _HALF)) * _STIR
    value = (value ^ (value >> _HALF)) * _STIR
    return value ^ (value >> _HALF)


@compiled
def role(kind: int, code: int, joined: bool, base_class: int, base_code: int) -> int:
    """Return what a character of class `kind` is to the token before it (filters/text.py).

    The base is the last character that was OPENS or CONTINUES, its class SPACE after BETWEEN; an
    ATTACHED character, as one that is `joined`, belongs to the token and leaves the base alone.
    """
    if kind == SPACE:
        return BETWEEN
    if joined or (kind == EXTEND and base_class != SPACE):
        return ATTACHED
    if kind == base_class and (
        kind == WORD or kind == KATAKANA or (kind == SYMBOL and code == base_code)  # noqa: PLR1714
    ):
        return CONTINUES
    return OPENS


@compiled
def word_spans(data: Bytes, begin: int, end: int, properties: Bytes) -> tuple[Integers, Integers]:
    """Return where each token starts and stops, in bytes (filters/text.py defines a token).

    Room for a token a byte is only reserved, not touched; growing an array inside the loop costs
    an atomic reference count a byte, ten times the rest.
    """
    starts = np.empty(end - begin, dtype=np.int64)
    stops = np.empty(end - begin, dtype=np.int64)
    count = 0
    base_class, base_code, base_bits = SPACE, -1, 0
    at = begin
    while at < end:
        code, width = decode(data, at, end)
        bits = integer(properties[code])
        kind = bits & CLASS
        joined = False
        if kind == SYMBOL and base_class == WORD:
            joined = joins(data, at + width, end, properties, code, base_bits)
        what = role(kind, code, joined, base_class, base_code)
        if base_class != SPACE and what in (BETWEEN, OPENS):
            stops[count - 1] = at
        if what == OPENS:
            starts[count] = at
            count += 1
        if what != ATTACHED:
            base_class, base_code, base_bits = kind, code, bits
        at += width
    if base_class != SPACE:
        stops[count - 1] = end
    return starts[:count], stops[:count]


@compiled
def joins(  # noqa: PLR0917
    data: Bytes, after: int, end: int, properties: Bytes, code: int, base_bits: int
) -> bool:
    """Return whether a symbol between a WORD and the byte `after` belongs to both (text.py)."""
    if after >= end:
        return False
    follower = integer(properties[decode(data, after, end)[0]])
    if code in _APOSTROPHES:
        return follower & CLASS == WORD
    joint = code in (_DOT, _COMMA)
    return bool(joint and base_bits & DIGIT != 0 and follower & DIGIT != 0)


@compiled
def hash_bytes(data: Bytes, begin: int, end: int) -> np.uint64:
    """Return a polynomial hash of some bytes; 0 of none."""
    value = np.uint64(0)
    for at in range(begin, end):
        value = value * _BASE + np.uint64(data[at]) + _ONE
    return value


@compiled
def eight_bytes(data: Bytes, at: int) -> np.uint64:
    """Return the bytes [at, at + 8), the first lowest; the compiler makes one load of it."""
    place = np.uint64(at)
    value = np.uint64(data[place])
    value |= np.uint64(data[place + np.uint64(1)]) << np.uint64(8)
    value |= np.uint64(data[place + np.uint64(2)]) << np.uint64(16)
    value |= np.uint64(data[place + np.uint64(3)]) << np.uint64(24)
    value |= np.uint64(data[place + np.uint64(4)]) << np.uint64(32)
    value |= np.uint64(data[place + np.uint64(5)]) << np.uint64(40)
    value |= np.uint64(data[place + np.uint64(6)]) << np.uint64(48)
    return value | np.uint64(data[place + np.uint64(7)]) << np.uint64(56)


@compiled
def stirred(value: np.uint64, word: np.uint64) -> np.uint64:
    """Return a hash of what `value` is the hash of and eight more bytes."""
    value = (value ^ word) * _STIR
    return value ^ (value >> _HALF)


@compiled
def hash_wide(data: Bytes, begin: int, end: int) -> np.uint64:
    """Return a hash of some bytes, taken eight at a time; not that of `hash_bytes`."""
    value = np.uint64(end - begin) * _BASE
    at = begin
    while at + 8 <= end:
        value = stirred(value, eight_bytes(data, at))
        at += 8
    if at < end:
        word = np.uint64(0)
        if at - begin >= 8:  # some bytes twice rather than the rest one by one
            word = eight_bytes(data, end - 8)
        else:
            while at < end:
                word = word << np.uint64(8) | np.uint64(data[at])
                at += 1
        value = stirred(value, word)
    return value


@compiled
def spaced_words(data: Bytes, begin: int, end: int, properties: Bytes) -> Bytes:
    """Return the tokens of a text with one space between them, as UTF-8."""
    starts, stops = word_spans(data, begin, end, properties)
    spaced = np.full(end - begin + starts.size, 32, dtype=np.uint8)
    at = 0
    for word in range(starts.size):
        size = integer(stops[word] - starts[word])
        spaced[at : at + size] = data[starts[word] : stops[word]]
        at += size + 1
    return spaced[: max(at - 1, 0)]


@compiled
def count_characters(data: Bytes, begin: int, end: int) -> int:
    """Return the number of characters: bytes that do not continue another."""
    count = 0
    for byte in data[begin:end]:  # not by place: the compiler counts many at once here
        count += byte & 0xC0 != 0x80
    return count


@compiled
def count_byte(data: Bytes, begin: int, end: int, wanted: int) -> int:
    """Return how many bytes are `wanted`."""
    count = 0
    for byte in data[begin:end]:
        count += byte == wanted
    return count


@compiled
def count_tokens(data: Bytes, offsets: Integers, properties: Bytes) -> Integers:
    """Return how many tokens each of N texts has, int64[N]."""
    counts = np.empty(offsets.size - 1, dtype=np.int64)
    for text in range(counts.size):
        counts[text] = word_spans(data, offsets[text], offsets[text + 1], properties)[0].size
    return counts
