"""What of a text a rule looks at, as spans to mark; a statistic without a row marks nothing."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from filters.kernels.characters import TERMINAL_MARKS
from filters.openings import GENERATED, LOOKED_AT, XML, XML_WITHIN
from filters.text import TextBatch

Spans = list[tuple[int, int]]


def spans_of(feature: str, text: str) -> Spans:
    """Return the [start, end) characters that count for a statistic, in order, none overlapping."""
    find = MARKS.get(feature)
    return find(text) if find else []


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
        content = text.encode()
        bounds = TextBatch.of_text(text).word_spans(0).tolist()
        words = [content[start:end].decode() for start, end in bounds]
        spans: Spans = []
        for at in choose(words, size):
            start = len(content[: bounds[at][0]].decode())
            end = start + len(content[bounds[at][0] : bounds[at + size - 1][1]].decode())
            if spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return spans

    return find


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
MARKS: Mapping[str, Callable[[str], Spans]] = {
    "hash_ratio": _pattern("#"),
    "ellipsis_ratio": _pattern(r"\.\.\.|…"),
    "ellipsis_line_ratio": _pattern(r"(?:\.\.\.|…)\s*$", _LINES),
    "bullet_line_ratio": _pattern(r"^[ \t]*[•-]", _LINES),
    "alphabetic_token_ratio": _pattern(r"(?<!\S)[^\w\s]+(?!\S)|\d+"),
    "stop_words": _pattern(r"\b(?:the|be|to|of|and|that|have|with)\b"),
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
    "c4_curly_bracket_lines": _pattern(r"\{"),
    "c4_fineweb_curly_bracket_lines": _pattern(r"\{"),
    "c4_lorem_ipsum_lines": _pattern(r"lorem ipsum", re.IGNORECASE),
    "c4_fineweb_lorem_ipsum_lines": _pattern(r"lorem ipsum", re.IGNORECASE),
    "digit_character_ratio": _pattern(r"\d+"),
    "command_ratio": _pattern(r"\\[A-Za-z]+"),
    "mean_word_length": _pattern(r"\w{11,}"),  # those beyond Gopher's highest mean
    "mean_line_length": _pattern(r"^.{101,}$", _LINES),  # beyond that of the code rules
    "longest_line": _longest_line,
    "c4_sentences": _pattern(_SENTENCE_END),
    "c4_fineweb_sentences": _pattern(_SENTENCE_END),
    "alphabetic_character_ratio": _pattern(r"(?:[^\w\s]|[\d_])+"),  # what is no letter
    "alphanumeric_character_ratio": _pattern(r"(?:[^\w\s]|_)+"),
    "generated_marks": _generated,
    "xml_declarations": _declaration,
}
"""Statistic -> what counts for it; for a share of letters, what does not."""
