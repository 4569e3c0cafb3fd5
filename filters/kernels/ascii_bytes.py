"""Classes of ASCII bytes, and what makes a number part of something longer."""

import numpy as np

from filters.kernels.compiled import compiled, integer
from filters.kernels.words import Bytes

DIGIT, ALPHA, LOCAL, HEX, WORD, LABEL = 1, 2, 4, 8, 16, 32
"""LOCAL: in the local part of an e-mail address; LABEL: in a label of a domain."""
NOWHERE = -1
"""Where a match ends that is none."""

_JOINTS = tuple(ord(character) for character in ".-,/")


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
