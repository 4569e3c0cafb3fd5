"""Paragraphs and lines as pieces of a text: split, hashed, and taken out again."""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Literal

import xxhash

_BREAKS = {"line": re.compile(rb"\n"), "paragraph": re.compile(rb"\n[ \t\r]*\n")}


@dataclass(frozen=True)
class Pieces:
    """How texts are cut: at line feeds, or at blank lines.

    A piece counts from its first to its last character that is no ASCII white space; one of fewer
    than `least` bytes is never looked at: "}" and "Examples" repeat with good reason.
    """

    level: Literal["paragraph", "line"]
    least: int = 40

    def hashes(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (place, xxh3_128) of each piece that is long enough, in order."""
        for place, (begin, end) in enumerate(self._spans(text)):
            piece = text[begin:end].strip()
            if len(piece) >= self.least:
                yield place, xxhash.xxh3_128_digest(piece)

    def without(self, text: bytes, places: Set[int]) -> tuple[bytes, list[tuple[int, int, int]]]:
        """Return the text without the pieces at these places, and (place, begin, end) of each.

        A piece goes with the break behind it, the last one with the break before it. What is left
        byte by byte stood there before.
        """
        spans = list(self._spans(text))
        removed = [(place, *span) for place, span in enumerate(spans) if place in places]
        left = bytearray()
        gap = b""
        for place, (begin, end) in enumerate(spans):
            after = spans[place + 1][0] if place + 1 < len(spans) else end
            if place in places:
                continue
            left += gap if left else b""
            left += text[begin:end]
            gap = text[end:after]
        return bytes(left), removed

    def _spans(self, text: bytes) -> Iterator[tuple[int, int]]:
        begin = 0
        for found in _BREAKS[self.level].finditer(text):
            yield begin, found.start()
            begin = found.end()
        yield begin, len(text)
