r"""A compiled pass over the characters of one document and its lines between "\n".

FineWeb's line statistics (arXiv 2406.17557, 3.6; formulas as in datatrove's FineWebQualityFilter,
0.10.1), what the characters are, and how long the lines of str.splitlines() are.
"""

import numpy as np

from filters.kernels.characters import (
    ALPHA,
    CLASS,
    DIGIT,
    LINE_BREAK,
    PUNCTUATION_BIT,
    SPACE,
    TERMINAL,
)
from filters.kernels.compiled import compiled, integer
from filters.kernels.repetition import seen_before, table_size
from filters.kernels.words import Bytes, Hashes, Integers, count_byte, decode

SHORT_LINE = 30
_NEWLINE, _CARRIAGE_RETURN, _BACKSLASH = 10, 13, 92
_CODE_CHARACTERS = "{}()[];=<>_/\\*&|+"
_CODE_LOW = sum(1 << ord(each) for each in _CODE_CHARACTERS if ord(each) < 64)
_CODE_HIGH = sum(1 << ord(each) - 64 for each in _CODE_CHARACTERS if ord(each) >= 64)
_BASE = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)
(
    CHARACTERS,
    NEWLINES,
    LINES,  # not blank
    MARKED,  # of these, those that end in a terminal mark
    SHORT,  # and those of at most SHORT_LINE characters
    REPEATED,  # characters of those that repeat an earlier one
    LONGEST,  # of the lines of str.splitlines(), in characters
    SPLIT,  # how many these are
    BREAKS,  # characters that break them, "\n" too
    ALPHABETIC,
    DIGITS,
    WHITE_SPACE,
    PUNCTUATION,
    CODE,  # characters that are frequent in code and rare in prose
    COMMANDS,  # a backslash before an ASCII letter, as in LaTeX
) = range(15)


@compiled
def newline_counts(data: Bytes, begin: int, end: int, properties: Bytes) -> Integers:
    """Return the counts of one document, int64[15], in the places named above."""
    counts = np.zeros(15, dtype=np.int64)
    counts[NEWLINES] = count_byte(data, begin, end, _NEWLINE)
    keys = np.zeros(table_size(counts[NEWLINES] + 1), dtype=np.uint64)
    counts[CHARACTERS] = counts[WHITE_SPACE] = counts[BREAKS] = counts[NEWLINES]
    at = begin
    while at < end:
        at = _count_line(counts, keys, data, at, end, properties)
    return counts


@compiled
def _count_line(  # noqa: PLR0917
    counts: Integers, keys: Hashes, data: Bytes, begin: int, end: int, properties: Bytes
) -> int:
    """Add what one line holds; return where the next begins."""
    length, spaces, alphabetic, digits, punctuation, code_like, commands = 0, 0, 0, 0, 0, 0, 0
    hashed, bits, escaped = np.uint64(0), 0, False
    since, split, code = 0, 0, 0
    at = begin
    while at < end and data[at] != _NEWLINE:
        code, width = decode(data, at, end)
        bits = integer(properties[code])
        spaces += bits & CLASS == SPACE
        alphabetic += bits & ALPHA != 0
        digits += bits & DIGIT != 0
        punctuation += bits & PUNCTUATION_BIT != 0
        if code < 128:
            half = _CODE_LOW if code < 64 else _CODE_HIGH
            code_like += half >> (code & 63) & 1
            commands += escaped and bits & ALPHA != 0
            escaped = code == _BACKSLASH
        else:
            escaped = False
        if bits & LINE_BREAK:
            counts[LONGEST] = max(counts[LONGEST], length - since)
            since = length + 1
            split += 1
        hashed = hashed * _BASE + np.uint64(code) + _ONE
        length += 1
        at += width
    if spaces < length:
        counts[LINES] += 1
        counts[MARKED] += bits & TERMINAL != 0
        counts[SHORT] += length <= SHORT_LINE
        counts[REPEATED] += length * seen_before(keys, hashed)
    counts[CHARACTERS] += length
    counts[LONGEST] = max(counts[LONGEST], length - since)
    counts[BREAKS] += split
    if at < end:  # at "\n", which ends a line unless it is the second half of "\r\n"
        split += not (since == length and code == _CARRIAGE_RETURN)
    else:
        split += length > since
    counts[SPLIT] += split
    counts[ALPHABETIC] += alphabetic
    counts[DIGITS] += digits
    counts[WHITE_SPACE] += spaces
    counts[PUNCTUATION] += punctuation
    counts[CODE] += code_like
    counts[COMMANDS] += commands
    return at + 1
