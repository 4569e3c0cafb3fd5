"""Compiled passes that take lines out of texts: those C4 refuses, and those named by position."""

import numpy as np

from filters.kernels.c4_lines import citation_size
from filters.kernels.characters import CLASS, LINE_BREAK, SPACE
from filters.kernels.compiled import compiled, integer
from filters.kernels.lines import strip
from filters.kernels.words import Bytes, Hashes, Integers, decode, hash_bytes, mix

TOO_LONG_WORD, NO_TERMINAL_PUNCTUATION, TOO_FEW_WORDS, JAVASCRIPT, POLICY = range(5)
CITATION, WHITE_SPACE = 5, 6
KINDS = 7

_PHRASES = (
    b"lorem ipsum",
    b"javascript",
    b"terms of use",
    b"privacy policy",
    b"cookie policy",
    b"uses cookies",
    b"use of cookies",
    b"use cookies",
)
_FLAT = np.frombuffer(b"".join(_PHRASES), dtype=np.uint8)
_ENDS = np.cumsum(np.array([0, *(len(phrase) for phrase in _PHRASES)]))
_LOREM_BIT, _JAVASCRIPT_BIT, _POLICY_BIT, _BRACE_BIT = 1, 2, 4, 8
_NEWLINE, _RETURN, _OPEN, _DOT, _BRACE, _K = 10, 13, 91, 46, 123, 107


@compiled
def line_end(data: Bytes, begin: int, end: int, properties: Bytes) -> tuple[int, int]:
    """Return where the line at `begin` ends without, and with, its break (str.splitlines)."""
    at = begin
    while at < end:
        first = integer(data[at])
        if first < 0x80 and not properties[first] & LINE_BREAK:
            at += 1
            continue
        code, width = decode(data, at, end)
        if properties[code] & LINE_BREAK:
            after = at + width
            if code == _RETURN and after < end and data[after] == _NEWLINE:
                after += 1
            return at, after
        at += width
    return end, end


@compiled
def count_breaks(data: Bytes, offsets: Integers, properties: Bytes) -> int:
    """Return at least as many as there are lines in all texts."""
    lines = offsets.size
    for at in range(offsets[0], offsets[-1]):
        byte = integer(data[at])
        # 0x85, 0xA8 and 0xA9 end the only line breaks outside ASCII
        lines += byte in (0x85, 0xA8, 0xA9) or (
            byte < 0x80 and integer(properties[byte]) & LINE_BREAK != 0
        )
    return lines


@compiled
def _is_at(data: Bytes, at: int, end: int, wanted: Bytes) -> bool:
    """Return whether some bytes stand at a place, as str.lower() would read them."""
    for byte in wanted:
        if at >= end:
            return False
        here = integer(data[at])
        if 65 <= here <= 90:
            here += 32
        if here == 0xE2 and byte == _K and at + 2 < end:  # the Kelvin sign is a k when lowered
            if data[at + 1] != 0x84 or data[at + 2] != 0xAA:
                return False
            at += 3
            continue
        if here != byte:
            return False
        at += 1
    return True


@compiled
def _phrases(data: Bytes, begin: int, end: int) -> int:
    """Return which of C4's phrases, and whether a "{", stand in a line, as bits."""
    found = 0
    for at in range(begin, end):
        byte = integer(data[at])
        if byte == _BRACE:
            found |= _BRACE_BIT
            continue
        lower = byte | 32
        if lower not in (108, 106, 116, 112, 99, 117):  # l j t p c u
            continue
        for phrase in range(_ENDS.size - 1):
            wanted = _FLAT[_ENDS[phrase] : _ENDS[phrase + 1]]
            if wanted[0] == lower and _is_at(data, at, end, wanted):
                found |= _LOREM_BIT if phrase == 0 else (2 if phrase == 1 else _POLICY_BIT)
    return found


@compiled
def _copy_line(  # noqa: PLR0917
    data: Bytes, begin: int, end: int, properties: Bytes, citations: bool, out: Bytes, to: int
) -> tuple[int, int]:
    """Copy a line without its citation marks; return where the copy ends, how many marks fell."""
    marks = 0
    at = begin
    while at < end:
        byte = data[at]
        if citations and byte == _OPEN:
            size = citation_size(data, at, end, properties)
            if size:
                marks += 1
                at += size
                continue
        out[to] = byte
        to += 1
        at += 1
    return to, marks


@compiled
def _words(data: Bytes, begin: int, end: int, properties: Bytes) -> tuple[int, int]:
    """Return the number of words of str.split(), and the characters of the longest."""
    words, longest, length = 0, 0, 0
    at = begin
    while at < end:
        code, width = decode(data, at, end)
        at += width
        if properties[code] & CLASS == SPACE:
            length = 0
            continue
        words += length == 0
        length += 1
        longest = max(longest, length)
    return words, longest


@compiled
def _is_terminal(out: Bytes, begin: int, end: int) -> bool:
    if end == begin:
        return False
    last = out[end - 1]
    if last == _DOT:
        return not (end - begin >= 3 and out[end - 2] == _DOT and out[end - 3] == _DOT)
    return last in (63, 33, 34, 39)  # ? ! " '


@compiled
def _fault(  # noqa: PLR0917
    out: Bytes, begin: int, end: int, words: int, terminal: bool, least: int, refused: int
) -> int:
    """Return why C4 takes a line out, -1 where it stays; the order is C4's."""
    if terminal and not _is_terminal(out, begin, end):
        return NO_TERMINAL_PUNCTUATION
    if words < least:
        return TOO_FEW_WORDS
    found = _phrases(out, begin, end)
    kind = -1  # over a "lorem ipsum" or a "{" that gets this far C4 drops the document
    if not found & _LOREM_BIT:
        if found & refused & _JAVASCRIPT_BIT:
            kind = JAVASCRIPT
        elif not found & _BRACE_BIT and found & refused & _POLICY_BIT:
            kind = POLICY
    return kind


@compiled
def c4_lines(  # noqa: PLR0917
    data: Bytes,
    offsets: Integers,
    properties: Bytes,
    longest_word: int,
    citations: bool,
    terminal: bool,
    least_words: int,
    refused: int,
) -> tuple[Bytes, Integers, Integers, Integers, Bytes, Integers, Integers, Integers]:
    """Take out the lines C4 refuses; of each text strip the lines and join them by newlines.

    Returns the kept bytes and their offsets [N+1], counts and bytes by kind [N, KINDS], and the
    removed lines: their bytes, their offsets [L+1], the text and the kind of each [L].
    """
    size, texts = offsets[-1] - offsets[0], offsets.size - 1
    most = count_breaks(data, offsets, properties)
    out, gone = np.empty(size, dtype=np.uint8), np.empty(size, dtype=np.uint8)
    ends = np.zeros(texts + 1, dtype=np.int64)
    counts = np.zeros((texts, KINDS), dtype=np.int64)
    sizes = np.zeros((texts, KINDS), dtype=np.int64)
    gone_ends = np.zeros(most + 1, dtype=np.int64)
    gone_text, gone_kind = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    to, lines = 0, 0
    for text in range(texts):
        first, at, end = to, integer(offsets[text]), integer(offsets[text + 1])
        is_first = True
        while at < end:
            stop, after = line_end(data, at, end, properties)
            begin, stop = strip(data, at, stop, properties)
            at = after
            words, longest = _words(data, begin, stop, properties)
            start = to if is_first else to + 1
            kind, marks, line_to = TOO_LONG_WORD, 0, start
            if longest_word < 0 or longest <= longest_word:
                line_to, marks = _copy_line(data, begin, stop, properties, citations, out, start)
                kind = _fault(out, start, line_to, words, terminal, least_words, refused)
            if kind >= 0:
                counts[text, kind] += 1
                sizes[text, kind] += stop - begin
                here = gone_ends[lines]
                gone[here : here + stop - begin] = data[begin:stop]
                gone_text[lines], gone_kind[lines] = text, kind
                lines += 1
                gone_ends[lines] = here + stop - begin
                continue
            if not is_first:
                out[to] = _NEWLINE
            is_first = False
            counts[text, CITATION] += marks
            sizes[text, CITATION] += (stop - begin) - (line_to - start)
            to = line_to
        left, right = strip(out, first, to, properties)
        for byte in range(right - left):
            out[first + byte] = out[left + byte]
        to = first + right - left
        ends[text + 1] = to
        rest = (end - offsets[text]) - (to - first) - sizes[text].sum()
        sizes[text, WHITE_SPACE], counts[text, WHITE_SPACE] = rest, rest > 0
    return (
        out[:to],
        ends,
        counts,
        sizes,
        gone[: gone_ends[lines]],
        gone_ends[: lines + 1],
        gone_text[:lines],
        gone_kind[:lines],
    )


@compiled
def line_keys(
    data: Bytes, offsets: Integers, hosts: Hashes, properties: Bytes, least_characters: int
) -> tuple[Integers, Integers, Integers, Hashes]:
    """Return text, start, stop (with its break) and key of each line that is long enough.

    A key mixes the hash of a text's host with the hash of the stripped line; texts whose host is
    0 have none.
    """
    most = count_breaks(data, offsets, properties)
    texts, starts = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    stops, keys = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.uint64)
    lines = 0
    for text in range(offsets.size - 1):
        at, end = integer(offsets[text]), integer(offsets[text + 1])
        while at < end and hosts[text] != 0:
            stop, after = line_end(data, at, end, properties)
            begin, stop = strip(data, at, stop, properties)
            characters = 0
            for byte in range(begin, stop):
                characters += data[byte] & 0xC0 != 0x80
            if characters >= least_characters:
                texts[lines], starts[lines], stops[lines] = text, at, after
                keys[lines] = mix(mix(hash_bytes(data, begin, stop)) ^ hosts[text])
                lines += 1
            at = after
    return texts[:lines], starts[:lines], stops[:lines], keys[:lines]


@compiled
def without(
    data: Bytes, offsets: Integers, texts: Integers, starts: Integers, stops: Integers
) -> tuple[Bytes, Integers]:
    """Return the texts without the byte ranges [start, stop), which are sorted and apart."""
    out = np.empty(offsets[-1] - offsets[0], dtype=np.uint8)
    ends = np.zeros(offsets.size, dtype=np.int64)
    to, cut = 0, 0
    for text in range(offsets.size - 1):
        at, end = integer(offsets[text]), integer(offsets[text + 1])
        while cut < starts.size and texts[cut] == text:
            size = integer(starts[cut]) - at
            out[to : to + size] = data[at : at + size]
            to += size
            at = integer(stops[cut])
            cut += 1
        out[to : to + end - at] = data[at:end]
        to += end - at
        ends[text + 1] = to
    return out[:to], ends
