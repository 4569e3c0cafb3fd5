"""What of a text a rule looks at, as spans to mark; a statistic without a row marks nothing."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa

from filters import features, fineweb2
from filters.kernels.characters import TERMINAL_MARKS
from filters.lang_scripts import scripts_of
from filters.openings import GENERATED, LOOKED_AT, XML, XML_WITHIN
from filters.text import TextBatch

Spans = list[tuple[int, int]]
_CONTINUES = 0x80
"""What the two highest bits of a byte say that begins no character."""
_LOWEST_MEAN = 3


def spans_of(feature: str, text: str, *, is_below: bool = False, language: str = "") -> Spans:
    """Return the [start, end) characters that count for a statistic, in order, none overlapping.

    `is_below` says that what is dropped lies below its limit, `language` which one the text is in.
    """
    if feature in OF_LANGUAGE:
        return OF_LANGUAGE[feature](text, language)
    find = MARKS.get(feature)
    if is_below:
        find = MARKS_BELOW.get(feature, find)
    return find(text) if find else []


def marks(feature: str) -> bool:
    """Whether anything can be pointed at; of the number of words, say, it is the whole text."""
    return feature in MARKS or feature in OF_LANGUAGE


def _pattern(pattern: str, flags: int = 0) -> Callable[[str], Spans]:
    compiled = re.compile(pattern, flags)
    return lambda text: [match.span() for match in compiled.finditer(text) if match.group()]


def _repeated(separator: str) -> Callable[[str], Spans]:
    pattern = re.compile(f"(?:{separator})")

    def find(text: str) -> Spans:
        seen: set[str] = set()
        spans, start = [], 0
        for end, after in [*(m.span() for m in pattern.finditer(text)), (len(text), len(text))]:
            piece = text[start:end]
            if piece and piece in seen:
                spans.append((start, end))
            seen.add(piece)
            start = after
        return spans

    return find


def _grams(size: int, choose: Callable[[list[str], int], Iterator[int]]) -> Callable[[str], Spans]:
    """Mark runs of words: `choose` yields at which words the runs of `size` begin."""

    def find(text: str) -> Spans:
        bounds = _word_spans(text)
        words = [text[start:end] for start, end in bounds]
        return _joined((bounds[at][0], bounds[at + size - 1][1]) for at in choose(words, size))

    return find


def _word_spans(text: str) -> Spans:
    """Return where the words of a text stand, as the statistics see them, in characters."""
    content = np.frombuffer(text.encode(), dtype=np.uint8)
    character_of = np.concatenate(([0], np.cumsum(content & 0xC0 != _CONTINUES)))
    bounds = character_of[TextBatch.of_text(text).word_spans(0)]
    return [(start, end) for start, end in bounds.tolist()]


def _joined(spans: Iterable[tuple[int, int]]) -> Spans:
    """Return spans in order, those that overlap as one."""
    found: Spans = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _listed(wanted: Iterable[str]) -> Callable[[str], Spans]:
    """Mark the words of a list, as they are counted: whole words, in the case of the list."""
    sizes: dict[int, set[str]] = {}
    for word in wanted:
        sizes.setdefault(len(_word_spans(word)), set()).add("".join(word.split()))

    def find(text: str) -> Spans:
        bounds = _word_spans(text)
        runs = (
            (bounds[at][0], bounds[at + size - 1][1], words)
            for size, words in sizes.items()
            for at in range(len(bounds) - size + 1)
        )
        return _joined(
            (start, end) for start, end, words in runs if "".join(text[start:end].split()) in words
        )

    return find


def _language_stop_words(text: str, language: str) -> Spans:
    """Mark the stop words that are published for the language of a text; where none are, none."""
    script = scripts_of(pa.array([language]), pa.array([text]))[0].as_py()
    known = fineweb2.published().get(script)
    return _listed(known["stop_words"])(text) if known else []


def _in_counted_lines(feature: str, pattern: str, flags: int = 0) -> Callable[[str], Spans]:
    """Mark what a pattern finds in the lines that the statistic counts: C4 leaves many out."""
    find_all = _pattern(pattern, flags)

    def find(text: str) -> Spans:
        lines, at = [], 0
        for line in text.splitlines(keepends=True):
            spans = find_all(line)
            if spans:
                lines.append((line, [(at + start, at + end) for start, end in spans]))
            at += len(line)
        texts = pa.array([line for line, _ in lines], pa.string())
        counts = features.compute(texts, names=[feature])[feature].to_pylist()
        counted = (spans for (_, spans), count in zip(lines, counts, strict=True) if count)
        return [span for spans in counted for span in spans]

    return find


def _short_words(text: str) -> Spans:
    """Mark the words shorter than Gopher's lowest mean."""
    return [
        (start, end)
        for start, end in _word_spans(text)
        if end - start < _LOWEST_MEAN and any(map(str.isalnum, text[start:end]))
    ]


def _most_frequent(words: list[str], size: int) -> Iterator[int]:
    """Yield where the run that is most frequent stands, each time; nothing where none repeats."""
    runs = [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]
    if runs:
        (most, count), *_ = Counter(runs).most_common(1)
        if count > 1:
            yield from (at for at, run in enumerate(runs) if run == most)


def _seen_before(words: list[str], size: int) -> Iterator[int]:
    """Yield where a run stands that stood before, as the statistic counts them: none twice."""
    seen: set[str] = set()
    at = 0
    while at <= len(words) - size:
        run = "".join(words[at : at + size])
        if run in seen:
            yield at
            at += size
        else:
            seen.add(run)
            at += 1


def _longest_line(text: str) -> Spans:
    """Mark the longest line, the first of them; nothing of a text of empty lines."""
    at, best = 0, (0, 0)
    for line, whole in zip(text.splitlines(), text.splitlines(keepends=True), strict=True):
        if len(line) > best[1] - best[0]:
            best = (at, at + len(line))
        at += len(whole)
    return [best] if best[1] > best[0] else []


def _generated(text: str) -> Spans:
    """Mark what says that a program wrote the text."""
    found = re.match(GENERATED, text[:LOOKED_AT])
    return [found.span(1)] if found else []


def _declaration(text: str) -> Spans:
    at = text[:XML_WITHIN].find(XML)
    return [(at, at + len(XML))] if at >= 0 else []


_LINES = re.MULTILINE
_TERMINAL = "".join(sorted(TERMINAL_MARKS))
_SENTENCE_END = r"[.?!](?=[\"'”’)]*(?:\s|\Z))"
_C4 = {
    "curly_bracket_lines": r"\{",
    "lorem_ipsum_lines": r"lorem ipsum",
    "sentences": _SENTENCE_END,
}
MARKS: Mapping[str, Callable[[str], Spans]] = {
    "hash_ratio": _pattern("#"),
    "ellipsis_ratio": _pattern(r"\.\.\.|…"),
    "ellipsis_line_ratio": _pattern(r"(?:\.\.\.|…)\s*$", _LINES),
    "bullet_line_ratio": _pattern(r"^[ \t]*[•-]", _LINES),
    "alphabetic_token_ratio": _pattern(r"(?<!\S)[^\w\s]+(?!\S)|\d+"),
    "stop_words": lambda text: _listed(features.STOP_WORDS)(text),
    **{f"top_{n}_gram_character_ratio": _grams(n, _most_frequent) for n in (2, 3, 4)},
    **{f"repeated_{n}_gram_character_ratio": _grams(n, _seen_before) for n in range(5, 11)},
    "repeated_paragraph_ratio": _repeated("\n{2,}"),
    "repeated_paragraph_character_ratio": _repeated("\n{2,}"),
    "repeated_line_ratio": _repeated("\n+"),
    "repeated_line_character_ratio": _repeated("\n+"),
    "repeated_nonblank_line_character_ratio": _repeated("\n+"),
    "short_line_ratio": _pattern(r"^(?=.*\S).{1,30}$", _LINES),
    "marked_line_ratio": _pattern(f"[{_TERMINAL}]$", _LINES),
    "newline_ratio": _pattern(r"\n+"),
    **{
        f"{family}_{name}": _in_counted_lines(f"{family}_{name}", pattern, re.IGNORECASE)
        for family in ("c4", "c4_fineweb")
        for name, pattern in _C4.items()
    },
    "digit_character_ratio": _pattern(r"\d+"),
    "command_ratio": _pattern(r"\\[A-Za-z]+"),
    "mean_word_length": _pattern(r"\w{11,}"),  # those beyond Gopher's highest mean
    "mean_line_length": _pattern(r"^.{101,}$", _LINES),  # beyond that of the code rules
    "longest_line": _longest_line,
    "alphabetic_character_ratio": _pattern(r"(?:[^\w\s]|[\d_])+"),  # what is no letter
    "alphanumeric_character_ratio": _pattern(r"(?:[^\w\s]|_)+"),
    "generated_marks": _generated,
    "xml_declarations": _declaration,
}
"""Statistic -> what counts for it; for a share of letters, what does not."""

MARKS_BELOW: Mapping[str, Callable[[str], Spans]] = {"mean_word_length": _short_words}
"""The same where what is dropped lies below its limit, if other parts of a text bring it there."""

OF_LANGUAGE: Mapping[str, Callable[[str, str], Spans]] = {
    "language_stop_words": _language_stop_words
}
"""The same where the language of the text says what counts."""
