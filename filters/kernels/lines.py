"""Compiled passes over the lines and the symbols of one document."""

from filters.kernels.characters import CLASS, LINE_BREAK, SPACE
from filters.kernels.compiled import compiled, integer
from filters.kernels.words import Bytes, decode

_NEWLINE, _CARRIAGE_RETURN, _DOT, _HASH, _DASH = 10, 13, 46, 35, 45
_BULLET, _ELLIPSIS = 0x2022, 0x2026
_CHARACTER = -1
"""In place of a number of dots: the line ends in the one character "…"."""


@compiled
def count_symbols(data: Bytes, begin: int, end: int) -> tuple[int, int]:
    """Return how often "#" occurs, and "..." or "…", as str.count() counts."""
    hashes, ellipses, dots = 0, 0, 0
    for at in range(begin, end):
        byte = data[at]
        hashes += byte == _HASH
        dots = dots + 1 if byte == _DOT else 0
        if dots == 3:
            ellipses += 1
            dots = 0
        if byte == 0xE2 and at + 2 < end and data[at + 1] == 0x80 and data[at + 2] == 0xA6:
            ellipses += 1
    return hashes, ellipses


@compiled
def count_lines(data: Bytes, begin: int, end: int, properties: Bytes) -> tuple[int, int, int]:
    """Return the lines of str.splitlines(), how many start with a bullet, end in an ellipsis.

    Bullets are "•" and "-" after lstrip(); an ellipsis is "..." or "…" before rstrip().
    """
    lines, bullets, ellipses = 0, 0, 0
    line_open, blank, dots, spaced = False, True, 0, False
    at = begin
    while at < end:
        code, width = decode(data, at, end)
        at += width
        bits = integer(properties[code])
        if bits & LINE_BREAK:
            lines += 1
            ellipses += dots >= 3 or dots == _CHARACTER
            line_open, blank, dots, spaced = False, True, 0, False
            if code == _CARRIAGE_RETURN and at < end and data[at] == _NEWLINE:
                at += 1
            continue
        line_open = True
        if bits & CLASS == SPACE:
            spaced = True
            continue
        if blank:
            bullets += code in (_BULLET, _DASH)
        dots = 0 if spaced else dots
        dots = _CHARACTER if code == _ELLIPSIS else (max(dots, 0) + 1 if code == _DOT else 0)
        blank, spaced = False, False
    if line_open:
        lines += 1
        ellipses += dots >= 3 or dots == _CHARACTER
    return lines, bullets, ellipses


@compiled
def strip(data: Bytes, begin: int, end: int, properties: Bytes) -> tuple[int, int]:
    """Return the byte range of str.strip()."""
    while begin < end:
        code, width = decode(data, begin, end)
        if properties[code] & CLASS != SPACE:
            break
        begin += width
    while begin < end:
        at = end - 1
        while at > begin and data[at] & 0xC0 == 0x80:
            at -= 1
        if properties[decode(data, at, end)[0]] & CLASS != SPACE:
            break
        end = at
    return begin, end
