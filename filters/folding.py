"""The normalisation under which near duplicates are compared, as one character for another.

Letters are lower-cased and lose the accents of U+0300-U+036F (so é is e, й is и; the voicing marks
of kana and the vowel signs of Indic scripts stay); decimal digits of every script become 0, a run
of them one 0; punctuation, symbols, format characters and free accents vanish. Traditional and
simplified Chinese stay apart. Text is expected in composed form (NFC).
"""

import functools
import unicodedata

import numpy as np
import numpy.typing as npt

from filters.kernels.characters import CLASS, DIGIT, EXTEND, SPACE, SYMBOL, table

_ACCENTS = range(0x300, 0x370)
_ZERO, _DROPPED = ord("0"), 0


@functools.cache
def folds() -> npt.NDArray[np.int32]:
    """Return what each code point counts as, int32[0x110000]; 0 is nothing."""
    properties = table()
    result = np.arange(0x110000, dtype=np.int32)
    kinds = properties & CLASS
    result[(kinds == SYMBOL) | (kinds == SPACE)] = _DROPPED
    result[properties & DIGIT != 0] = _ZERO
    result[_ACCENTS.start : _ACCENTS.stop] = _DROPPED
    extends = np.flatnonzero(kinds == EXTEND)
    for code_point in extends:
        if unicodedata.category(chr(code_point)) == "Cf":
            result[code_point] = _DROPPED
    for code_point in np.flatnonzero((kinds != SYMBOL) & (kinds != SPACE) & (kinds != EXTEND)):
        if not properties[code_point] & DIGIT:
            result[code_point] = ord(fold(chr(code_point)))
    result.flags.writeable = False
    return result


def fold(letter: str) -> str:
    """Return a letter in lower case, without accents that can be taken off."""
    parts = unicodedata.normalize("NFD", letter)
    if all(ord(mark) in _ACCENTS for mark in parts[1:]):
        letter = parts[0]
    lower = letter.lower()
    return lower if len(lower) == 1 else letter
