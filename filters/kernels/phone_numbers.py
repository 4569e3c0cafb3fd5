"""Compiled finders of phone numbers: international ones, and those of North America."""

from filters.kernels.ascii_bytes import DIGIT, NOWHERE, WORD, is_a, number_goes_on
from filters.kernels.compiled import compiled, integer
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
        while (
            between < 3
            and stop < end
            and integer(data[stop]) in (_SPACE, _DASH, _DOT, _SLASH, _OPEN, _CLOSE)
        ):
            stop += 1
            between += 1
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
    if not framed:
        joined = at < end and integer(data[at]) in (_DASH, _DOT, _SLASH)
        return (at + 1 if joined else NOWHERE), framed
    if at >= end or data[at] != _CLOSE:
        return NOWHERE, framed
    at += 1
    return at + (at < end and integer(data[at]) in (_SPACE, _DASH, _DOT)), framed


@compiled
def north_american(data: Bytes, begin: int, end: int, at: int) -> tuple[int, int]:
    """Return (ddd) ddd-dddd, or ddd-ddd-dddd with - . or / in it, also after "1-", "1." or "1 "."""
    start = at
    if data[at] == _ONE and at + 1 < end and integer(data[at + 1]) in (_DASH, _DOT, _SPACE):
        at += 2
    at, framed = _area_end(data, begin, end, at)
    if at == NOWHERE or at + 8 > end or not _three(data, begin, end, at):
        return start, NOWHERE
    joint = integer(data[at + 3])
    if not (joint in (_DASH, _DOT) or (framed and joint == _SPACE)):
        return start, NOWHERE
    at += 4
    for digit in range(4):
        if not is_a(data, at + digit, begin, end, DIGIT):
            return start, NOWHERE
    at += 4
    return start, (NOWHERE if number_goes_on(data, begin, end, at, 1) else at)
