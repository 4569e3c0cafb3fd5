"""Compiled finders of phone numbers: international ones, and those of North America."""

from filters.kernels.ascii_bytes import DIGIT, NOWHERE, WORD, is_a, number_goes_on, separator
from filters.kernels.compiled import compiled
from filters.kernels.words import Bytes

_DOT, _DASH, _OPEN, _CLOSE, _SPACE, _SLASH = (ord(character) for character in ".-() /")
_ZERO, _ONE = ord("0"), ord("1")


@compiled
def international(data: Bytes, begin: int, end: int, at: int) -> tuple[int, int]:
    """Return "+", 8 to 15 digits (ITU-T E.164), with one or two of " -./()" between groups."""
    stop, digits, found = at + 1, 0, NOWHERE
    if not is_a(data, stop, begin, end, DIGIT) or data[stop] == _ZERO:
        return at, NOWHERE
    while True:
        first = stop
        while stop - first < 16 and is_a(data, stop, begin, end, DIGIT):
            stop += 1
        digits += stop - first
        if digits > 15:
            break
        if digits >= 8 and not is_a(data, stop, begin, end, WORD):
            found = stop
        between = 0
        part, size = separator(data, stop, end)
        while between < 3 and part in (_SPACE, _DASH, _DOT, _SLASH, _OPEN, _CLOSE):
            stop += size
            between += 1
            part, size = separator(data, stop, end)
        if not 1 <= between <= 2 or not is_a(data, stop, begin, end, DIGIT):
            break
    return at, found


@compiled
def _three(data: Bytes, begin: int, end: int, at: int) -> bool:
    """Return whether exactly three digits, the first from 2 to 9, stand at a place."""
    digits = 0
    while digits < 4 and is_a(data, at + digits, begin, end, DIGIT):
        digits += 1
    return digits == 3 and data[at] > _ONE


@compiled
def _area_end(data: Bytes, begin: int, end: int, at: int) -> tuple[int, bool]:
    """Return where an area code and its separator end, NOWHERE if none stands here; if framed."""
    framed = at < end and data[at] == _OPEN
    at += framed
    if at >= end or not _three(data, begin, end, at):
        return NOWHERE, framed
    at += 3
    part, size = separator(data, at, end)
    if not framed:
        return (at + size if part in (_DASH, _DOT, _SLASH) else NOWHERE), framed
    if part != _CLOSE:
        return NOWHERE, framed
    part, size = separator(data, at + 1, end)
    return at + 1 + (size if part in (_SPACE, _DASH, _DOT) else 0), framed


@compiled
def north_american(data: Bytes, begin: int, end: int, at: int) -> tuple[int, int]:
    """Return (ddd) ddd-dddd, or ddd-ddd-dddd with - . or / in it, also after "1-", "1." or "1 "."""
    start = at
    if data[at] == _ONE:
        part, size = separator(data, at + 1, end)
        at += 1 + size if part in (_DASH, _DOT, _SPACE) else 0
    at, framed = _area_end(data, begin, end, at)
    if at == NOWHERE or not _three(data, begin, end, at):
        return start, NOWHERE
    joint, size = separator(data, at + 3, end)
    if not (joint in (_DASH, _DOT) or (framed and joint == _SPACE)):
        return start, NOWHERE
    at += 3 + size
    for digit in range(4):
        if not is_a(data, at + digit, begin, end, DIGIT):
            return start, NOWHERE
    at += 4
    return start, (NOWHERE if number_goes_on(data, begin, end, at, 1) else at)
