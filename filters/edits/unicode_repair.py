"""Repair what went wrong between bytes and characters: mojibake, controls, line breaks, NFC.

In this order, and again until nothing changes (four times at most):

    encoding         UTF-8 that was decoded as something else, by ftfy (Speer 2019), line by line
    terminal_escape  colour and cursor commands of terminals
    nul, control     characters that are not text: C0 and C1 but tab and line breaks, U+FEFF,
                     U+FFF9 to U+FFFB
    line_break       CR LF, CR, VT, FF, NEL, U+2028 and U+2029 become "\\n"
    nfc              canonical composition (Unicode Standard Annex 15)

Quotes, ligatures, full-width forms and HTML entities stay as they were written: ftfy would change
them too, but they are spelling, not damage.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, field_validator

from filters.edits.edited import Edited, change_rows, replaced, texts_of

Kind = Literal["encoding", "terminal_escape", "nul", "control", "line_break", "nfc"]

_ROUNDS = 4
_LONGEST = 10_000
"""Characters of a line that ftfy is shown at once: it tries encodings on the whole of them."""
_ESCAPE = re.compile(r"\x1b\[[0-9;?]{0,16}[A-Za-z]")
_NUL = re.compile(r"\0")
_CONTROL = re.compile(r"[\x01-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufff9-\ufffb]")
_BREAK = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SUSPECT = r"[\x{00}-\x{08}\x{0b}-\x{1f}\x{7f}-\x{9f}\x{2028}\x{2029}\x{feff}\x{fff9}-\x{fffb}]"
"""One of the characters above, for Arrow's regular expressions (RE2)."""


class UnicodeRepair(BaseModel):
    """Which repairs are made; the order is always that of the module's table."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    repairs: tuple[Kind, ...] = (
        "encoding",
        "terminal_escape",
        "nul",
        "control",
        "line_break",
        "nfc",
    )

    @field_validator("repairs")
    @classmethod
    def _in_order(cls, repairs: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if not repairs:
            raise ValueError(f"found no repair; name some of {', '.join(REPAIRS)}, or leave it out")
        return tuple(kind for kind in REPAIRS if kind in repairs)

    def apply(self, documents: pa.Table) -> Edited:
        """Return the texts, repaired; `count` is characters, of encoding lines, of nfc one."""
        texts = texts_of(documents)
        repaired: dict[int, str] = {}
        found: list[tuple[int, str, int, int, int]] = []
        for row in self._candidates(texts):
            text = texts[row].as_py()
            after, changes = self._repair(text)
            if after != text:
                repaired[row] = after
            found += ((row, kind, *sizes) for kind, sizes in changes.items())
        return Edited(replaced(texts, repaired), change_rows(found))

    def _candidates(self, texts: pa.Array) -> list[int]:
        """Return the rows where a repair could find something to do; the others cost no Python."""
        suspect = pc.match_substring_regex(texts, _SUSPECT)
        other = pc.invert(pc.string_is_ascii(texts))
        rows: set[int] = set(_true(suspect))
        if "encoding" in self.repairs:
            rows.update(_true(pc.match_substring_regex(texts, _mojibake())))
        if "nfc" in self.repairs:
            rows.update(
                row
                for row in _true(other)
                if row not in rows and not unicodedata.is_normalized("NFC", texts[row].as_py())
            )
        return sorted(rows)

    def _repair(self, text: str) -> tuple[str, dict[str, tuple[int, int, int]]]:
        """Return a text, repaired, and {kind: (count, bytes removed, bytes added)}."""
        changes: dict[str, tuple[int, int, int]] = {}
        for _ in range(_ROUNDS):
            before = text
            for kind in self.repairs:
                after, count = REPAIRS[kind](text)
                if after != text:
                    grown = len(after.encode()) - len(text.encode())
                    had = changes.get(kind, (0, 0, 0))
                    more, less = max(grown, 0), max(-grown, 0)
                    changes[kind] = (had[0] + count, had[1] + less, had[2] + more)
                text = after
            if text == before:
                break
        return text, changes


def _encoding(text: str) -> tuple[str, int]:
    if text.isascii():
        return text, 0
    from ftfy import fix_encoding  # reading it takes a moment

    suspect = re.compile(_mojibake())  # remembered by re
    lines = text.split("\n")
    changed = 0
    for number, line in enumerate(lines):
        if not suspect.search(line):
            continue
        pieces = [line[at : at + _LONGEST] for at in range(0, len(line), _LONGEST)]
        fixed = "".join(map(fix_encoding, pieces))
        if fixed != line:
            lines[number] = fixed
            changed += 1
    return "\n".join(lines), changed


def _nfc(text: str) -> tuple[str, int]:
    return (text, 0) if text.isascii() else (unicodedata.normalize("NFC", text), 1)


def _without(pattern: re.Pattern[str], put: str = "") -> Callable[[str], tuple[str, int]]:
    return lambda text: pattern.subn(put, text)


REPAIRS: Final[Mapping[Kind, Callable[[str], tuple[str, int]]]] = {
    "encoding": _encoding,
    "terminal_escape": _without(_ESCAPE),
    "nul": _without(_NUL),
    "control": _without(_CONTROL),
    "line_break": _without(_BREAK, "\n"),
    "nfc": _nfc,
}
"""Every repair: a text to the text, repaired, and how much there was to repair."""


@cache
def _mojibake() -> str:
    """Return a pattern (of re and of RE2) that every text has which ftfy would decode again.

    UTF-8 in a one-byte encoding shows a lead byte's character before a continuation byte's. A lost
    byte is U+FFFD or "?", the no-break space of 0xA0 is often written as a space since (ftfy mends
    that behind the leads below). C1 controls stand for Windows-1252 that was read as Latin-1.
    """
    leads, followers = _characters(*range(0xC2, 0xF5)), _characters(*range(0x80, 0xC0))
    spaced, longer = _characters(0xC2, 0xC3, 0xC5, 0xCE, 0xD0, 0xD9), _characters(0xE2, 0xE3, 0xF0)
    ways = (
        f"[{leads}][{followers}\ufffd]",
        f"[{spaced}] ",
        f"[{longer}] [{followers}]",
        f"[{_characters(0xC2, 0xC3)}]\\?",
        "[\x80-\x9f]",
    )
    return "|".join(ways)


def _characters(*values: int) -> str:
    """Return what some bytes mean in the encodings that ftfy knows, to stand in a class."""
    from ftfy.chardata import CHARMAP_ENCODINGS

    found = (bytes(values).decode(encoding, "ignore") for encoding in CHARMAP_ENCODINGS)
    return "".join(sorted(set("".join(found))))


def _true(mask: pa.Array) -> list[int]:
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist()
