"""Lists of words that a document should not say, one a language (LDNOOBW's files, for example).

A word counts where it stands by itself: no letter or digit beside it, in any case (str.lower() of
the text is searched for that of the word). In Chinese, Japanese and Thai, which are written without
spaces, it counts wherever it stands (C4 does the same; Raffel et al. 2020, arXiv 1910.10683, and
its successor for 101 languages, mC4). Documents in a language without a list are not looked
through: their count is not a number.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from filters.errors import FilterError
from filters.url_lists import lines_of

UNSPACED = ("ja", "th", "zh")
_AT_ONCE = 200
"""Words of one regular expression of Arrow's; RE2 refuses very long ones."""


@dataclass(frozen=True)
class WordLists:
    """Words by language; `read` makes one."""

    words: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, files: Mapping[str, Path]) -> "WordLists":
        """Read files by name; a file is called after its language: "en", "ja.txt", "th.gz"."""
        words: dict[str, tuple[str, ...]] = {}
        for name, path in files.items():
            language = name.rpartition("/")[2].partition(".")[0]
            if not re.fullmatch(r"[a-z]{2,3}", language):
                raise FilterError(
                    f"word list {name!r}: allowed are files called after a language as documents "
                    "have it (en, ja, th.txt, de.gz); rename it or leave it out"
                )
            words[language] = tuple(sorted({*words.get(language, ()), *_words(path)}))
        return cls(words)

    def count(
        self, texts: pa.Array | pa.ChunkedArray, languages: list[str | None]
    ) -> npt.NDArray[np.float64]:
        """Return how often listed words stand in each of N texts, float64[N], NaN: no list."""
        counts = np.full(len(texts), np.nan)
        known = np.array([language or "" for language in languages], dtype=object)
        for language, words in self.words.items():
            rows = np.flatnonzero(known == language)
            some = texts.take(pa.array(rows))
            counts[rows] = 0
            pattern = _pattern(words, spaced=language not in UNSPACED)
            for at in _candidates(some, words):
                counts[rows[at]] = sum(1 for _ in pattern.finditer(some[at].as_py().lower()))
        return counts


def _words(path: Path) -> Iterator[str]:
    for line in lines_of(path):
        try:
            yield line.decode().lower()
        except UnicodeDecodeError as error:
            raise FilterError(
                f"{path}: {line!r} is not UTF-8; lists of words are UTF-8 text, one a line: "
                "convert the file, for example with iconv"
            ) from error


def _candidates(texts: pa.Array | pa.ChunkedArray, words: tuple[str, ...]) -> list[int]:
    """Return which texts hold a word in any place and case: found at the speed of RE2.

    RE2 knows each character's other case but İ, whose lower case has two characters, "i" and a dot.
    """
    found = np.zeros(len(texts), dtype=np.bool_)
    forms = [re.escape(word).replace("i", "[iİ]").replace("\u0307", "\u0307?") for word in words]
    for first in range(0, len(forms), _AT_ONCE):
        some = "|".join(forms[first : first + _AT_ONCE])
        found |= np.asarray(pc.match_substring_regex(texts, some, ignore_case=True)).astype(bool)
    return [int(row) for row in np.flatnonzero(found)]


def _pattern(words: tuple[str, ...], *, spaced: bool) -> re.Pattern[str]:
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    either = "|".join(re.escape(word) for word in longest_first)
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)" if spaced else either)
