"""What of a text a rule looks at, as spans to mark; a statistic without a row marks nothing."""

import re
from collections.abc import Callable, Mapping

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


_LINES = re.MULTILINE
MARKS: Mapping[str, Callable[[str], Spans]] = {
    "hash_ratio": _pattern("#"),
    "ellipsis_ratio": _pattern(r"\.\.\.|…"),
    "ellipsis_line_ratio": _pattern(r"(?:\.\.\.|…)\s*$", _LINES),
    "bullet_line_ratio": _pattern(r"^[ \t]*[•-]", _LINES),
    "alphabetic_token_ratio": _pattern(r"(?<!\S)[^\w\s]+(?!\S)|\d+"),
    "stop_words": _pattern(r"\b(?:the|be|to|of|and|that|have|with)\b"),
    "repeated_paragraph_ratio": _repeated("\n{2,}"),
    "repeated_paragraph_character_ratio": _repeated("\n{2,}"),
    "repeated_line_ratio": _repeated("\n+"),
    "repeated_line_character_ratio": _repeated("\n+"),
    "repeated_nonblank_line_character_ratio": _repeated("\n+"),
    "short_line_ratio": _pattern(r"^(?=.*\S).{1,30}$", _LINES),
    "marked_line_ratio": _pattern(r"[.?!。？！…]\s*$", _LINES),
    "newline_ratio": _pattern(r"\n+"),
    "c4_curly_bracket_lines": _pattern(r"\{"),
    "c4_fineweb_curly_bracket_lines": _pattern(r"\{"),
    "c4_lorem_ipsum_lines": _pattern(r"lorem ipsum", re.IGNORECASE),
    "c4_fineweb_lorem_ipsum_lines": _pattern(r"lorem ipsum", re.IGNORECASE),
    "digit_character_ratio": _pattern(r"\d+"),
    "command_ratio": _pattern(r"\\[A-Za-z]+"),
}
"""Statistic -> what counts for it."""
