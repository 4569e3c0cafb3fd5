"""C4's rules on one line at a time: what each line is, whether it stays, and its sentences.

Raffel et al. 2020 (arXiv 1910.10683, 2.2) and the code they published; formulas as in datatrove's
C4QualityFilter (0.10.1). A line is one of str.splitlines(), stripped. Its words (str.split()) are
counted before citations are taken out, everything else is looked for after.

**A sentence**, for counting, begins with the first character of a line that is no white space, and
with each character that is neither white space nor punctuation (CCNet's) and follows a terminal
mark: one of ASCII if white space comes in between, any other at once. So "3.14" is one sentence,
"He left. (Why?) Nobody knows" three, and "終わり。次" two. Full stops in a row end none; nor does
one between white space and a lone letter ("S. 10th"), two ("e.g. this") or one of ABBREVIATIONS.
"""

import numpy as np

from filters.kernels.characters import (
    CLASS,
    DIGIT,
    LINE_BREAK,
    PUNCTUATION_BIT,
    SPACE,
    TERMINAL,
)
from filters.kernels.compiled import compiled, integer
from filters.kernels.words import Bytes, Integers, decode

(
    KEPT,
    TOO_LONG_WORD,
    NO_TERMINAL_MARK,
    TOO_FEW_WORDS,
    LOREM_IPSUM,
    JAVASCRIPT,
    CURLY_BRACKET,
    POLICY,
) = range(8)
"""What becomes of a line, in the order in which it is asked. LOREM_IPSUM and CURLY_BRACKET drop the
document; the others but KEPT drop the line."""

ABBREVIATIONS = (
    "mr", "mrs", "ms", "dr", "prof", "rev", "gen", "gov", "sen", "rep", "st", "jr", "sr", "vs",
    "inc", "ltd", "co", "corp", "bros", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep",
    "sept", "oct", "nov", "dec",
)  # fmt: skip
"""After a space or at the start of a line, in any case; frequent ones of spaCy's English."""

MOST_CHARACTERS_A_WORD, LEAST_WORDS_A_LINE = 1_000, 3
_NEWLINE, _CARRIAGE_RETURN = 10, 13
_KELVIN = 0x212A  # the one character outside ASCII that str.lower() turns into an ASCII letter


def _tail(phrase: str) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Return the last 8 bytes of a phrase, the up to 8 before them, and the mask of the latter."""
    content = phrase.encode()
    low, high = content[-8:], content[:-8]
    mask = (1 << 8 * len(high)) - 1
    return (
        np.uint64(int.from_bytes(low, "big")),
        np.uint64(int.from_bytes(high, "big")),
        np.uint64(mask),
    )


_PHRASES = np.array(
    [
        (LOREM_IPSUM, *_tail("lorem ipsum")),
        (JAVASCRIPT, *_tail("javascript")),
        (POLICY, *_tail("terms of use")),
        (POLICY, *_tail("privacy policy")),
        (POLICY, *_tail("cookie policy")),
        (POLICY, *_tail("uses cookies")),
        (POLICY, *_tail("use of cookies")),
        (POLICY, *_tail("use cookies")),
    ],
    dtype=np.uint64,
)
_SHORT_FORMS = np.array(
    [(int.from_bytes(f"{word}.".encode(), "big"), 8 * (len(word) + 1)) for word in ABBREVIATIONS],
    dtype=np.uint64,
)
_LAST_LETTERS = sum(1 << ord(letter) - 96 for letter in "mteys")
_BYTE, _TOP, _THREE = np.uint64(8), np.uint64(56), np.uint64(0xFFFFFF)
_DOTS = np.uint64(0x2E2E2E)
_LAST = np.uint64(0xFF)
_ONE, _TWO, _THREE_BYTES = np.uint64(1), np.uint64(16), np.uint64(24)
_DOT = 46
_ENDINGS = (46, 63, 33, 34, 39)  # . ? ! " '
_LONG_BIT, _TERMINAL_BIT, _CURLY_BIT = 1 << TOO_LONG_WORD, 1 << NO_TERMINAL_MARK, 1 << CURLY_BRACKET


@compiled
def citation_size(data: Bytes, at: int, end: int, properties: Bytes) -> int:
    r"""Return the bytes of the citation at `at`, 0 if none: \[\d*], [edit], [citation needed]."""
    if data[at] != 0x5B:
        return 0
    stop = at + 1
    while stop < end:
        code, width = decode(data, stop, end)
        if not properties[code] & DIGIT:
            break
        stop += width
    if stop < end and data[stop] == 0x5D:
        return integer(stop + 1 - at)
    for content in (b"[edit]", b"[citation needed]"):
        size = len(content)
        if at + size <= end:
            same = True
            for offset in range(size):
                same = same and data[at + offset] == content[offset]
            if same:
                return size
    return 0


@compiled
def scan_line(  # noqa: C901, PLR0912, PLR0915  one pass over the bytes; a call a character costs more
    data: Bytes, begin: int, end: int, properties: Bytes
) -> tuple[int, int, int, int]:
    """Return where the line that starts at `begin` stops, its findings, words and sentences.

    The stop is the byte of the line break, or `end`. Findings are bits, 1 << outcome; that of
    NO_TERMINAL_MARK says that there is one. `outcome` makes a decision of them.
    """
    found, words, length, sentences = 0, 0, 0, 0
    high, low, solid = np.uint64(0), np.uint64(0), np.uint64(0)
    mark, wide, started, cited_until = False, False, False, begin
    pending, held = False, False
    at = begin
    while at < end:
        code, width = decode(data, at, end)
        bits = integer(properties[code])
        if bits & LINE_BREAK:
            break
        space = bits & CLASS == SPACE
        if space:
            length = 0
        else:
            if code == 0x5B and at >= cited_until:
                cited_until = at + citation_size(data, at, end, properties)
            words += length == 0
            length += 1
            if length > MOST_CHARACTERS_A_WORD:
                found |= _LONG_BIT
            started = True
        if at < cited_until:
            solid = low
        elif started:
            if held and space:
                pending = pending or not _abbreviates(low)
            elif held and code != _DOT:
                mark = True
            dots = low & _LAST == _DOT
            held = code == _DOT and not dots
            letter = code + 32 if 65 <= code <= 90 else (107 if code == _KELVIN else min(code, 128))
            high = high << _BYTE | low >> _TOP
            low = low << _BYTE | np.uint64(letter)
            if space:
                pending = pending or mark
            else:
                solid = low
                if 97 <= letter <= 122:
                    if _LAST_LETTERS >> (letter - 96) & 1:
                        found |= _phrases_that_end(high, low)
                elif code == 0x7B:
                    found |= _CURLY_BIT
                if sentences == 0:
                    sentences = 1
                    mark = bits & TERMINAL != 0 and code != _DOT
                    wide = mark and code >= 0x80
                elif code == _DOT:
                    pass
                elif bits & TERMINAL:
                    mark = True
                    wide = wide or code >= 0x80
                elif not bits & PUNCTUATION_BIT:
                    sentences += pending or wide
                    mark, wide, pending = False, False, False
        at += width
    if solid & _THREE != _DOTS and integer(solid & _LAST) in _ENDINGS:
        found |= _TERMINAL_BIT
    return at, found, words, sentences


@compiled
def _abbreviates(low: np.uint64) -> bool:
    """Return whether the last characters of a line, a full stop at their end, are a short form."""
    if _is_apart(low, 16) and _is_letter(low >> _BYTE):
        return True
    if low >> _TWO & _LAST == _DOT and _is_apart(low, 32):
        return _is_letter(low >> _BYTE) and _is_letter(low >> _THREE_BYTES)
    for row in range(_SHORT_FORMS.shape[0]):
        size = _SHORT_FORMS[row, 1]
        if low & ((_ONE << size) - _ONE) == _SHORT_FORMS[row, 0] and _is_apart(low, size):
            return True
    return False


@compiled
def _is_letter(low: np.uint64) -> bool:
    return bool(97 <= low & _LAST <= 122)


@compiled
def _is_apart(low: np.uint64, size: int) -> bool:
    """Return whether a space, or nothing, stands before the last `size` bits."""
    before = low >> np.uint64(size) & _LAST
    return bool(before in (0, 32))


@compiled
def _phrases_that_end(high: np.uint64, low: np.uint64) -> int:
    found = 0
    for row in range(_PHRASES.shape[0]):
        if low == _PHRASES[row, 1] and high & _PHRASES[row, 3] == _PHRASES[row, 2]:
            found |= 1 << integer(_PHRASES[row, 0])
    return found


@compiled
def outcome(found: int, words: int, terminal: bool) -> int:
    """Return what becomes of a line; `terminal`: must it end in a terminal mark (C4: it must)?"""
    if found & 1 << TOO_LONG_WORD:
        return TOO_LONG_WORD
    if terminal and not found & 1 << NO_TERMINAL_MARK:
        return NO_TERMINAL_MARK
    if words < LEAST_WORDS_A_LINE:
        return TOO_FEW_WORDS
    for kind in (LOREM_IPSUM, JAVASCRIPT, CURLY_BRACKET, POLICY):
        if found & 1 << kind:
            return kind
    return KEPT


@compiled
def next_line(data: Bytes, stop: int, end: int) -> int:
    """Return where the line after the one that stops at `stop` begins."""
    if stop >= end:
        return end
    if data[stop] == _CARRIAGE_RETURN and stop + 1 < end and data[stop + 1] == _NEWLINE:
        return stop + 2
    return stop + decode(data, stop, end)[1]


@compiled
def c4_counts(data: Bytes, begin: int, end: int, properties: Bytes) -> Integers:
    """Return sentences of kept lines, lines with lorem ipsum, with "{": with terminal marks asked
    for, then without, int64[6].

    A line counts where its outcome says so: one that was dropped earlier condemns nobody.
    """
    counts = np.zeros(6, dtype=np.int64)
    at = begin
    while at < end:
        stop, found, words, sentences = scan_line(data, at, end, properties)
        for first in (0, 3):
            kind = outcome(found, words, first == 0)
            if kind == KEPT:
                counts[first] += sentences
            elif kind == LOREM_IPSUM:
                counts[first + 1] += 1
            elif kind == CURLY_BRACKET:
                counts[first + 2] += 1
        at = next_line(data, stop, end)
    return counts
