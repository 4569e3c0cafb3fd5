"""Compiled finders of e-mail addresses, phone and card numbers and IP addresses in UTF-8 bytes.

Each tries a place only where a match could start and looks a bounded number of bytes around it,
so that the time is linear in the text whatever stands in it. Letters are ASCII: a number may
follow a Chinese character at once, as it does in Chinese.
"""

import numpy as np
import numpy.typing as npt

from filters.kernels.ascii_bytes import (
    ALPHA,
    DIGIT,
    HEX,
    IS,
    LABEL,
    LOCAL,
    NOWHERE,
    WORD,
    is_a,
    number_goes_on,
)
from filters.kernels.card_numbers import card
from filters.kernels.compiled import compiled, integer
from filters.kernels.phone_numbers import international, north_american
from filters.kernels.words import Bytes, Integers

Booleans = npt.NDArray[np.bool_]

EMAIL, CARD, IP4, IP6, PHONE = range(5)

_AT, _DOT, _DASH, _COLON, _PLUS, _OPEN = (ord(character) for character in "@.-:+(")
_X, _N, _ZERO = ord("x"), ord("n"), ord("0")
_LONGEST_LOCAL, _LONGEST_LABEL, _LONGEST_DOMAIN, _LONGEST_IP6 = 64, 63, 253, 45
_FEWEST_BYTES = 6
"""Of any match: "a@b.cd"."""


@compiled
def _domain_end(data: Bytes, begin: int, end: int) -> int:
    """Return where a domain that starts at `begin` ends: after a label of letters, or NOWHERE."""
    found, at, labels = NOWHERE, begin, 0
    while at < end and at - begin <= _LONGEST_DOMAIN and data[at] != _DASH:
        stop, letters = at, True
        while stop - at <= _LONGEST_LABEL and is_a(data, stop, begin, end, LABEL):
            letters = letters and (is_a(data, stop, begin, end, ALPHA) or data[stop] == _DASH)
            stop += 1
        if stop == at or stop - at > _LONGEST_LABEL:
            break
        tail = stop
        dashes = 0
        while data[tail - 1] == _DASH:
            tail -= 1
        for inside in range(at, tail):
            dashes += data[inside] == _DASH
        labels += 1
        coded = tail - at > 4 and data[at] | 32 == _X and data[at + 1] | 32 == _N and dashes > 1
        if labels > 1 and tail - at > 1 and ((letters and dashes == 0) or coded):
            found = tail
        if tail != stop or stop >= end or data[stop] != _DOT:
            break
        at = stop + 1
    return found


@compiled
def _email(data: Bytes, begin: int, end: int, at: int) -> tuple[int, int]:
    """Return the range of the address around the "@" at `at`."""
    start = at
    while at - start <= _LONGEST_LOCAL and is_a(data, start - 1, begin, end, LOCAL):
        start -= 1
    if at - start > _LONGEST_LOCAL:
        return at, NOWHERE
    while start < at and not is_a(data, start, begin, end, WORD):
        start += 1
    if start == at or data[at - 1] == _DOT:
        return at, NOWHERE
    return start, _domain_end(data, at + 1, end)


@compiled
def _ip4(data: Bytes, begin: int, end: int, at: int) -> tuple[int, int]:
    stop = at
    for group in range(4):
        if group:
            if stop >= end or data[stop] != _DOT:
                return at, NOWHERE
            stop += 1
        first, value = stop, 0
        while stop - first < 4 and is_a(data, stop, begin, end, DIGIT):
            value = value * 10 + integer(data[stop]) - _ZERO
            stop += 1
        size = stop - first
        if size == 0 or value > 255 or (size > 1 and data[first] == _ZERO):
            return at, NOWHERE
    longer = is_a(data, stop, begin, end, WORD)
    longer = longer or (
        stop < end and data[stop] in (_DOT, _DASH) and is_a(data, stop + 1, begin, end, DIGIT)
    )
    return at, (NOWHERE if longer else stop)


@compiled
def _ip6(data: Bytes, begin: int, end: int, at: int) -> tuple[int, int]:
    """Return a run of hexadecimal digits, colons and dots that starts as public addresses do."""
    if integer(data[at]) not in (0x32, 0x33) or at + 5 >= end or data[at + 4] != _COLON:
        return at, NOWHERE
    stop, colons = at, 0
    while stop - at <= _LONGEST_IP6 and stop < end:
        byte = integer(data[stop])
        if not (IS[byte] & HEX or byte in (_COLON, _DOT)):
            break
        colons += byte == _COLON
        stop += 1
    while data[stop - 1] == _DOT or (data[stop - 1] == _COLON and data[stop - 2] != _COLON):
        stop -= 1
    refused = stop - at > _LONGEST_IP6 or colons < 2 or is_a(data, stop, begin, end, WORD)
    return at, (NOWHERE if refused else stop)


@compiled
def _match(kind: int, data: Bytes, begin: int, end: int, at: int) -> tuple[int, int]:  # noqa: PLR0911
    """Return the range of a match around the byte `at`, whose end is NOWHERE if there is none."""
    byte = integer(data[at])
    if kind == EMAIL:
        return _email(data, begin, end, at) if byte == _AT else (at, NOWHERE)
    digit = 48 <= byte <= 57
    if not digit and (kind != PHONE or byte not in (_PLUS, _OPEN)):
        return at, NOWHERE
    if number_goes_on(data, begin, end, at - 1, -1):
        return at, NOWHERE
    if kind == CARD:
        return card(data, begin, end, at)
    if kind == IP4:
        return _ip4(data, begin, end, at)
    if kind == IP6:
        joined = at > begin and data[at - 1] == _COLON and is_a(data, at - 2, begin, end, HEX)
        return (at, NOWHERE) if joined else _ip6(data, begin, end, at)
    if byte == _PLUS:
        return international(data, begin, end, at)
    return north_american(data, begin, end, at)


@compiled
def spans(kind: int, data: Bytes, offsets: Integers) -> tuple[Integers, Integers, Integers]:
    """Return text, start and stop of each match of a kind, in order and apart from each other."""
    most = (offsets[-1] - offsets[0]) // _FEWEST_BYTES + 1
    texts = np.empty(most, dtype=np.int64)
    starts, stops = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    count = 0
    for text in range(offsets.size - 1):
        begin, end = integer(offsets[text]), integer(offsets[text + 1])
        free, at = begin, begin
        while at < end:
            byte = integer(data[at])
            if not (byte == _AT or 40 <= byte <= 57):  # no match starts at any other
                at += 1
                continue
            start, stop = _match(kind, data, free if kind == EMAIL else begin, end, at)
            if stop == NOWHERE:
                at += 1
                continue
            texts[count], starts[count], stops[count] = text, start, stop
            count += 1
            free = at = stop
    return texts[:count], starts[:count], stops[:count]


@compiled
def holds_any(wanted: int, data: Bytes, offsets: Integers) -> Booleans:
    """Return which texts hold a match of one of the kinds (bit 1 << kind), in one pass."""
    found = np.zeros(offsets.size - 1, dtype=np.bool_)
    for text in range(offsets.size - 1):
        begin, end = integer(offsets[text]), integer(offsets[text + 1])
        at = begin
        while at < end and not found[text]:
            byte = integer(data[at])
            if byte == _AT:
                found[text] = bool(wanted & 1 << EMAIL) and _email(data, begin, end, at)[1] >= 0
            elif 48 <= byte <= 57 and not number_goes_on(data, begin, end, at - 1, -1):
                for kind in (CARD, IP4, IP6, PHONE):
                    hit = wanted & 1 << kind and _match(kind, data, begin, end, at)[1] != NOWHERE
                    found[text] |= hit
                while at + 1 < end and is_a(data, at + 1, begin, end, DIGIT):
                    at += 1  # no match starts inside a number
            elif byte in (_PLUS, _OPEN) and wanted & 1 << PHONE:
                found[text] = _match(PHONE, data, begin, end, at)[1] != NOWHERE
            at += 1
    return found
