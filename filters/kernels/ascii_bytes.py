"""Classes of ASCII bytes, what makes a number part of something longer, what parts its groups."""

import numpy as np

from filters.kernels.compiled import compiled, integer
from filters.kernels.words import Bytes

DIGIT, ALPHA, LOCAL, HEX, WORD, LABEL = 1, 2, 4, 8, 16, 32
"""LOCAL: in the local part of an e-mail address; LABEL: in a label of a domain."""
NOWHERE = -1
"""Where a match ends that is none."""

_JOINTS = tuple(ord(character) for character in ".-,/")
_SPACE, _DASH = ord(" "), ord("-")
_WIDEST = 3
"""Bytes of the longest separator."""


def _properties() -> Bytes:
    bits = np.zeros(256, dtype=np.uint8)
    for byte in range(128):
        character = chr(byte)
        digit, alpha = character.isdigit(), character.isalpha()
        bits[byte] = (
            DIGIT * digit
            | ALPHA * alpha
            | LOCAL * (digit or alpha or character in "._%+-'")
            | HEX * (character in "0123456789abcdefABCDEF")
            | WORD * (digit or alpha or character == "_")
            | LABEL * (digit or alpha or character == "-")
        )
    return bits


IS = _properties()


@compiled
def is_a(data: Bytes, at: int, begin: int, end: int, what: int) -> bool:
    """Return whether there is a byte at a place, and one of the class `what`."""
    return begin <= at < end and integer(IS[data[at]]) & what != 0


@compiled
def number_goes_on(data: Bytes, begin: int, end: int, at: int, step: int) -> bool:
    """Return whether the byte `at` beside a number makes it part of something longer."""
    if is_a(data, at, begin, end, WORD):
        return True
    joined = begin <= at < end and integer(data[at]) in _JOINTS
    return joined and is_a(data, at + step, begin, end, DIGIT)


@compiled
def separator(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return what the character at a place is between groups of digits, and how many bytes it has.

    The two no-break spaces (U+00A0, U+202F) are a space and the no-break hyphen (U+2011) a dash,
    any other character its first byte; past the end is 0.
    """
    if at >= end:
        return 0, 0
    byte = integer(data[at])
    if byte < 0xC2:
        return byte, 1
    if byte == 0xC2 and at + 1 < end and data[at + 1] == 0xA0:
        return _SPACE, 2
    if byte == 0xE2 and at + 2 < end and data[at + 1] == 0x80:
        if data[at + 2] == 0xAF:
            return _SPACE, 3
        if data[at + 2] == 0x91:
            return _DASH, 3
    return byte, 1


@compiled
def separator_before(data: Bytes, begin: int, at: int) -> tuple[int, int]:
    """Return the same of the character that ends at a place; before the begin is 0."""
    for size in range(_WIDEST, 1, -1):
        if at - size >= begin:
            found, width = separator(data, at - size, at)
            if width == size:
                return found, size
    return (integer(data[at - 1]), 1) if at > begin else (0, 0)
