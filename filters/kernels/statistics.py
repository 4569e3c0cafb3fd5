"""The fused pass: every statistic of every document of a batch, from the bytes, in one call."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters.kernels import newlines, parts
from filters.kernels.c4_lines import c4_counts
from filters.kernels.characters import ALPHA, PUNCTUATION_BIT
from filters.kernels.compiled import compiled, integer
from filters.kernels.lines import count_lines, count_symbols, strip
from filters.kernels.newlines import newline_counts
from filters.kernels.repetition import (
    joined_grams,
    repeated_gram_characters,
    repeated_spans,
    sequence_grams,
    top_gram_characters,
)
from filters.kernels.stop_words import NONE, StopLists, note_stop_words
from filters.kernels.words import (
    Bytes,
    Hashes,
    Integers,
    count_characters,
    word_facts,
    word_spans,
)

Statistics = npt.NDArray[np.float64]
STATISTICS = 43
GRAMS = parts.TOP_GRAMS | parts.REPEATED_GRAMS | parts.STOP_LISTS


class GivenWords(NamedTuple):
    """Document d has the words `starts[firsts[d]:firsts[d + 1]]`, in bytes of `data`."""

    starts: Integers
    stops: Integers
    firsts: Integers


_NONE_GIVEN = np.zeros(0, dtype=np.int64)
NO_WORDS = GivenWords(_NONE_GIVEN, _NONE_GIVEN, _NONE_GIVEN)
"""None are given: the pass finds the words itself."""


@compiled
def batch_statistics(  # noqa: PLR0917
    data: Bytes,
    offsets: Integers,
    properties: Bytes,
    stop_words: Integers,
    lists: StopLists,
    words: GivenWords,
    wanted: int,
) -> Statistics:
    """Return the statistics of N documents, float64[STATISTICS, N]; features.py names the rows.

    `offsets` are N + 1 positions in `data`; `stop_words` are packed as in `packed`; `words` are
    the spans of every document where another definition of words gave them, else `NO_WORDS`;
    `wanted` are bits of parts.py: rows of no wanted part hold nothing of use.
    """
    table = np.zeros((STATISTICS, offsets.size - 1), dtype=np.float64)
    for document in range(offsets.size - 1):
        begin, end = offsets[document], offsets[document + 1]
        column = table[:, document]
        column[0] = count_characters(data, begin, end)
        if wanted & parts.NEED_TOKENS:
            starts, stops = _words(data, begin, end, properties, words, document)
            hashes, powers, lengths, facts = word_facts(data, starts, stops, properties)
            _word_statistics(column, lengths, facts)
            if wanted & parts.WORDS:
                column[9] = _distinct_stop_words(data, starts, stops, stop_words)
            if wanted & GRAMS:
                stop_list = lists.of_document[document]
                _gram_statistics(column, hashes, powers, lengths, lists, stop_list)
        if wanted & parts.SYMBOLS:
            _symbol_statistics(column, data, begin, end, properties)
        if wanted & parts.LINES:
            counts = newline_counts(data, begin, end, properties)
            _line_statistics(column, counts)
            _character_statistics(column, counts)
        if wanted & parts.REPEATED_SPANS:
            _span_statistics(column, data, begin, end, properties)
        if wanted & parts.C4:
            column[24:30] = c4_counts(data, begin, end, properties)
    return table


@compiled
def _words(  # noqa: PLR0917
    data: Bytes, begin: int, end: int, properties: Bytes, words: GivenWords, document: int
) -> tuple[Integers, Integers]:
    """Return the words of a document: those given, else those of `words="unicode"`."""
    if not words.firsts.size:
        return word_spans(data, begin, end, properties)
    first, last = words.firsts[document], words.firsts[document + 1]
    return words.starts[first:last], words.stops[first:last]


@compiled
def ratio(part: int, whole: int) -> float:
    """Return part / whole, and 0 of nothing."""
    return part / whole if whole else 0.0


@compiled
def _word_statistics(column: Statistics, lengths: Integers, facts: Bytes) -> None:
    words, characters, alphabetic = 0, 0, 0
    for token in range(lengths.size):
        alphabetic += facts[token] & ALPHA != 0
        if facts[token] & PUNCTUATION_BIT:
            words += 1
            characters += lengths[token]
    column[1] = lengths.size
    column[2] = words
    column[3] = ratio(characters, words)
    column[8] = ratio(alphabetic, lengths.size)


@compiled
def packed(data: Bytes, start: int, stop: int) -> int:
    """Return up to 7 bytes as one integer, first byte lowest."""
    key = 0
    for at in range(stop - 1, start - 1, -1):
        key = key << 8 | integer(data[at])
    return key


@compiled
def _distinct_stop_words(
    data: Bytes, starts: Integers, stops: Integers, stop_words: Integers
) -> int:
    found = np.zeros(stop_words.size, dtype=np.uint8)
    for word in range(starts.size):
        if 2 <= stops[word] - starts[word] <= 4:
            key = packed(data, starts[word], stops[word])
            for index in range(stop_words.size):
                if stop_words[index] == key:
                    found[index] = 1
    return integer(found.sum())


@compiled
def _symbol_statistics(
    column: Statistics, data: Bytes, begin: int, end: int, properties: Bytes
) -> None:
    hashes, ellipses = count_symbols(data, begin, end)
    lines, bullets, ellipsis_ends = count_lines(data, begin, end, properties)
    tokens = integer(column[1])
    column[4], column[5] = ratio(hashes, tokens), ratio(ellipses, tokens)
    column[6], column[7] = ratio(bullets, lines), ratio(ellipsis_ends, lines)
    column[10] = lines


@compiled
def _line_statistics(column: Statistics, counts: Integers) -> None:
    column[30] = ratio(counts[newlines.MARKED], counts[newlines.LINES])
    column[31] = ratio(counts[newlines.SHORT], counts[newlines.LINES])
    inside = counts[newlines.CHARACTERS] - counts[newlines.NEWLINES]
    column[32] = ratio(counts[newlines.REPEATED], inside)
    column[33] = ratio(counts[newlines.NEWLINES], integer(column[1]))
    column[35] = ratio(inside, counts[newlines.NEWLINES] + 1)
    column[36] = counts[newlines.LONGEST]


@compiled
def _character_statistics(column: Statistics, counts: Integers) -> None:
    for row, place in (
        (37, newlines.ALPHABETIC),
        (38, newlines.DIGITS),
        (39, newlines.WHITE_SPACE),
        (40, newlines.PUNCTUATION),
        (41, newlines.CODE),
    ):
        column[row] = ratio(counts[place], counts[newlines.CHARACTERS])
    column[42] = ratio(counts[newlines.COMMANDS], integer(column[1]))


@compiled
def _span_statistics(
    column: Statistics, data: Bytes, begin: int, end: int, properties: Bytes
) -> None:
    characters = integer(column[0])
    first, last = strip(data, begin, end, properties)
    paragraphs, repeats, repeated = repeated_spans(data, first, last, 2)
    column[11], column[12] = ratio(repeats, paragraphs), ratio(repeated, characters)
    lines, repeats, repeated = repeated_spans(data, begin, end, 1)
    column[13], column[14] = ratio(repeats, lines), ratio(repeated, characters)


@compiled
def _gram_statistics(  # noqa: PLR0917
    column: Statistics,
    hashes: Hashes,
    powers: Hashes,
    lengths: Integers,
    lists: StopLists,
    stop_list: int,
) -> None:
    characters = integer(column[0])
    ends = np.zeros(lengths.size + 1, dtype=np.int64)
    for word in range(lengths.size):
        ends[word + 1] = ends[word] + lengths[word]
    grams = hashes * np.uint64(0)
    for n in range(1, 5):
        sequence_grams(grams, hashes, n)
        if n >= 2:
            column[13 + n] = ratio(top_gram_characters(grams, ends, n), characters)
    listed = 0 if stop_list == NONE else lists.bounds[stop_list + 1] - lists.bounds[stop_list]
    found = np.zeros(listed, dtype=np.uint64)
    joined = hashes.copy()
    for n in range(1, 11):
        if n >= 2:
            joined_grams(joined, hashes, powers, n)
        if n >= 5:
            column[13 + n] = ratio(repeated_gram_characters(joined, ends, n), characters)
        if listed:
            note_stop_words(found, joined, n, lists, stop_list)
    column[34] = found.sum()
