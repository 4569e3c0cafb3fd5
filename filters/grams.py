"""What a gram is: folded tokens of a text, where they stand, and where a phrase ends.

Folding is that of filters/folding.py, except that a digit keeps its value: with digits folded to
one, 153 of GSM8K's test answers share a 13-gram with its training set; with their values, 6 do.
"""

import functools
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from filters.errors import FilterError, unknown
from filters.folding import folds
from filters.kernels.characters import CLASS, DIGIT, LINE_BREAK, SYMBOL, table
from filters.text import TextBatch

UNITS: Final = ("words", "characters")
LEAST_DIFFERENT: Final = 4
"""A gram tells something with so many different tokens that are no numbers or single letters."""
_NO_BREAKS = "-‐‑_'’`´*#@&/\\"


class Tokens(NamedTuple):
    """The tokens of a text: hashes, byte spans, which are bare and which open (kernels)."""

    hashes: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]
    bare: npt.NDArray[np.bool_]
    opens: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Grams:
    """What a gram is: `size` words or characters; and how short a field is still looked for."""

    size: int = 13
    unit: str = "words"
    shortest: int = 24
    """Least bytes of a folded field: about 24 letters or 8 Han characters; "yes" is everywhere."""

    anywhere: bool = False
    """Look for a short field inside of lines too, not between two breaks only."""

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise unknown("unit of n-grams", self.unit, UNITS)
        for name, least in (("size", LEAST_DIFFERENT), ("shortest", 1)):
            if getattr(self, name) < least:
                raise FilterError(
                    f"{name} of n-grams is {getattr(self, name)}; allowed: {least} or more; the "
                    f"defaults are {Grams.size} {Grams.unit} and {Grams.shortest} bytes"
                )

    def tokens(self, batch: TextBatch, index: int) -> Tokens:
        """Return the tokens of one text of a batch, spans from the beginning of the text."""
        from filters.kernels.contamination import folded_tokens  # numba takes a second to import

        begin, end = batch.offsets[index], batch.offsets[index + 1]
        found = Tokens(*folded_tokens(batch.data, begin, end, *self.tables()))
        return found._replace(starts=found.starts - begin, stops=found.stops - begin)

    def tables(
        self,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], npt.NDArray[np.bool_], bool, bool]:
        """Return what the kernels ask of characters, whether tokens are such, and `anywhere`."""
        return table(), _folds(), _breaks(), self.unit == "characters", self.anywhere


@functools.cache
def _folds() -> npt.NDArray[np.int32]:
    """Return filters.folding's table with digits as the ASCII digit of their value."""
    result = folds().copy()
    for code_point in np.flatnonzero(table() & DIGIT):
        result[code_point] = ord("0") + int(chr(code_point))
    result.flags.writeable = False
    return result


@functools.cache
def _breaks() -> npt.NDArray[np.bool_]:
    """Return which characters end a line or a phrase, bool[0x110000]; a hyphen does not."""
    result: npt.NDArray[np.bool_] = (table() & LINE_BREAK != 0) | (table() & CLASS == SYMBOL)
    result[[ord(character) for character in _NO_BREAKS]] = False
    result.flags.writeable = False
    return result


def fold(text: str) -> str:
    """Return a text as it is compared; spaces and punctuation are gone."""
    table_ = _folds()
    return "".join(chr(code) for code in (int(table_[ord(c)]) for c in text) if code)


class Places:
    """The tokens of one text as folded strings and as places in it."""

    def __init__(self, content: bytes, tokens: Tokens) -> None:
        self.text = content.decode()
        self._content, self._tokens = content, tokens
        self._folded: dict[int, str] = {}

    def folded(self, begin: int, length: int) -> str:
        """Return so many folded tokens with a space between them."""
        return " ".join(self._token(at) for at in range(begin, begin + length))

    def _token(self, at: int) -> str:
        if at not in self._folded:
            span = self._content[self._tokens.starts[at] : self._tokens.stops[at]]
            self._folded[at] = fold(span.decode())
        return self._folded[at]

    def characters(self, first: int, last: int) -> tuple[int, int]:
        """Return where the tokens first to last - 1 begin and end, in characters."""
        start, stop = self._tokens.starts[first], self._tokens.stops[last - 1]
        begin = len(self._content[:start].decode())
        return begin, begin + len(self._content[start:stop].decode())
