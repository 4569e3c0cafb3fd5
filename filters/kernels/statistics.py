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
from filters.kernels.repeated_grams import (
    REPEATED,
    TOP,
    Grams,
    gram_room,
    repeated_gram_characters,
    top_gram_characters,
)
from filters.kernels.repetition import repeated_spans
from filters.kernels.stop_words import NONE, StopLists, count_stop_words
from filters.kernels.tokens import Tokens, find_tokens, read_tokens, room
from filters.kernels.words import Bytes, Integers, count_characters, decode

Statistics = npt.NDArray[np.float64]
STATISTICS = 43


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
    most = 0
    for document in range(offsets.size - 1):
        most = max(most, offsets[document + 1] - offsets[document])
    tokens, grams = room(most), gram_room(most)
    for document in range(offsets.size - 1):
        begin, end = offsets[document], offsets[document + 1]
        column = table[:, document]
        column[0] = count_characters(data, begin, end)
        if wanted & parts.NEED_TOKENS:
            count = _read(tokens, data, begin, end, properties, words, document)
            column[1] = count
            if wanted & parts.WORDS:
                _word_statistics(column, tokens, properties)
                column[9] = _distinct_stop_words(tokens, count, stop_words)
            _gram_statistics(column, tokens, grams, wanted)
            stop_list = lists.of_document[document]
            if wanted & parts.STOP_LISTS and stop_list != NONE:
                column[34] = count_stop_words(tokens, count, lists, stop_list)
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
def _read(  # noqa: PLR0917
    tokens: Tokens,
    data: Bytes,
    begin: int,
    end: int,
    properties: Bytes,
    words: GivenWords,
    document: int,
) -> int:
    """Read the words of a document: those given, else those of `words="unicode"`; count them."""
    if not words.firsts.size:
        return find_tokens(tokens, data, begin, end, properties)
    first, last = words.firsts[document], words.firsts[document + 1]
    return read_tokens(tokens, data, words.starts[first:last], words.stops[first:last])


@compiled
def ratio(part: int, whole: int) -> float:
    """Return part / whole, and 0 of nothing."""
    return part / whole if whole else 0.0


@compiled
def _word_statistics(column: Statistics, tokens: Tokens, properties: Bytes) -> None:
    content, places, ends, _ = tokens
    words, characters, alphabetic = 0, 0, 0
    for token in range(integer(column[1])):
        at, stop = integer(places[token]), integer(places[token + 1])
        fact = 0
        while at < stop and fact != ALPHA | PUNCTUATION_BIT:
            code, width = decode(content, at, stop)
            fact |= (integer(properties[code]) ^ PUNCTUATION_BIT) & (ALPHA | PUNCTUATION_BIT)
            at += width
        alphabetic += fact & ALPHA != 0
        if fact & PUNCTUATION_BIT:  # a character is not punctuation
            words += 1
            characters += integer(ends[token + 1] - ends[token])
    column[2] = words
    column[3] = ratio(characters, words)
    column[8] = ratio(alphabetic, integer(column[1]))


@compiled
def packed(data: Bytes, start: int, stop: int) -> int:
    """Return up to 7 bytes as one integer, first byte lowest."""
    key = 0
    for at in range(stop - 1, start - 1, -1):
        key = key << 8 | integer(data[at])
    return key


@compiled
def _distinct_stop_words(tokens: Tokens, count: int, stop_words: Integers) -> int:
    content, places, _, _ = tokens
    found = np.zeros(stop_words.size, dtype=np.uint8)
    for word in range(count):
        if 2 <= places[word + 1] - places[word] <= 4:
            key = packed(content, places[word], places[word + 1])
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
    lengths = counts[newlines.CHARACTERS] - counts[newlines.BREAKS]
    column[35] = ratio(lengths, counts[newlines.SPLIT])
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
def _gram_statistics(column: Statistics, tokens: Tokens, grams: Grams, wanted: int) -> None:
    characters, count = integer(column[0]), integer(column[1])
    found = np.zeros(REPEATED[1] + 1, dtype=np.int32)
    if wanted & parts.TOP_GRAMS:
        top_gram_characters(found, tokens, count, grams)
    if wanted & parts.REPEATED_GRAMS:
        repeated_gram_characters(found, tokens, count, grams)
    for n in range(TOP[0], REPEATED[1] + 1):
        column[13 + n] = ratio(integer(found[n]), characters)
