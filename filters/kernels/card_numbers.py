"""A compiled finder of payment card numbers: prefix, length, grouping and Luhn checksum."""

import numpy as np

from filters.kernels.ascii_bytes import (
    DIGIT,
    NOWHERE,
    is_a,
    number_goes_on,
    separator,
    separator_before,
)
from filters.kernels.compiled import compiled, integer
from filters.kernels.words import Bytes, Integers

_SPACE, _DASH, _ZERO = ord(" "), ord("-"), ord("0")


@compiled
def _is_card(digits: Integers, count: int) -> bool:
    """Return whether digits have an issuer's prefix, its length, and a right Luhn checksum."""
    two = digits[0] * 10 + digits[1]
    four = two * 100 + digits[2] * 10 + digits[3]
    three = four // 10
    known = digits[0] == 4 and count in (13, 16, 19)
    known |= count == 16 and (51 <= two <= 55 or 2221 <= four <= 2720)
    known |= count == 15 and two in (34, 37)
    known |= count == 14 and (300 <= three <= 305 or two in (36, 38, 39))
    known |= count >= 16 and (four == 6011 or two in (62, 65) or 644 <= three <= 649)
    known |= count >= 16 and 3528 <= four <= 3589
    total = 0
    for back in range(count):
        digit = digits[count - 1 - back] * (1 + back % 2)
        total += digit - 9 if digit > 9 else digit
    return bool(known and total % 10 == 0)


@compiled
def _digits_before(data: Bytes, begin: int, end: int, at: int) -> int:
    """Return how many digits, 4 at most, stand before a space that stands before `at`."""
    count = 0
    part, size = separator_before(data, begin, at)
    if part == _SPACE:
        while count < 4 and is_a(data, at - size - 1 - count, begin, end, DIGIT):
            count += 1
    return count


@compiled
def _is_shaped(groups: Integers, last: int) -> bool:
    """Return whether digits stand in one run, or in groups of 4-4-4-4(-1 to 3), 4-6-4 or 4-6-5."""
    if last < 2:
        return last == 0
    if groups[0] != 4:
        return False
    if last == 2:
        return bool(groups[1] == 6 and groups[2] in (4, 5))
    fours = groups[1] == 4 and groups[2] == 4 and groups[3] == 4
    return bool(fours and (last == 3 or groups[4] < 4))


@compiled
def card(data: Bytes, begin: int, end: int, at: int) -> tuple[int, int]:
    """Return 13 to 19 digits in one run or in a card's groups, split by one kind of separator.

    A group of four or more digits before or after it makes it part of a longer number; a shorter
    one may be a date or a code.
    """
    if _digits_before(data, begin, end, at) == 4:
        return at, NOWHERE
    digits = np.zeros(20, dtype=np.int64)
    groups = np.zeros(6, dtype=np.int64)
    count, group, stop, between, found = 0, 0, at, 0, NOWHERE
    while group < 5:
        while count < 20 and is_a(data, stop, begin, end, DIGIT):
            digits[count] = integer(data[stop]) - _ZERO
            count += 1
            groups[group] += 1
            stop += 1
        if count > 19 or groups[group] > 6 > group > 0:
            found = NOWHERE if groups[group] > 3 else found
            break
        if found != NOWHERE and groups[group] > 3:
            found = NOWHERE  # one more group of a longer number
        elif count >= 13 and _is_shaped(groups, group) and _is_card(digits, count):
            found = NOWHERE if number_goes_on(data, begin, end, stop, 1) else stop
        part, size = separator(data, stop, end)
        if part not in (_SPACE, _DASH) or (between and part != between):
            break
        if groups[0] > 12 or not is_a(data, stop + size, begin, end, DIGIT):
            break
        between = part
        group += 1
        stop += size
    return at, found
