"""A batch of UTF-8 texts straight from Arrow's buffers, and what a word is in them.

**A word**, under `words="unicode"`, is a token of this grammar, read from left to right (classes
of characters: filters/kernels/characters.py; X* means X and the EXTEND characters that follow it):

    word      WORD* { WORD* | apostrophe, if a WORD follows at once
                            | "." or ",", if between two decimal digits }
    katakana  KATAKANA* { KATAKANA* }
    single    SINGLE*                        every Han or hiragana character, every Thai letter
    symbol    SYMBOL* { the same SYMBOL* }   "...", "--", "=====" are one token each
    stray     EXTEND { EXTEND }              marks at the start of a text or after white space

So "don't", "3.14" and "snake_case" are one token, "well-known" is three, as in UAX 29 and nearly
as in spaCy; a run of Chinese or Thai is as many words as it has characters, because no dictionary
is asked, and Korean is split at its spaces. White space is `str.isspace`, and in no word. The
definition is part of every threshold: English limits do not carry over to other scripts.

Under `words="spacy"` words are those of spaCy's English tokenizer (filters/spacy_words.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.errors import FilterError, unknown
from filters.kernels.characters import table

WORD_DEFINITIONS = ("unicode", "spacy")


def check_words(words: str) -> str:
    """Return the name of a word definition; raise FilterError where it is none, or not there."""
    if words not in WORD_DEFINITIONS:
        raise unknown("word definition", words, WORD_DEFINITIONS)
    if words == "spacy":
        from filters.spacy_words import check_installed

        check_installed()
    return words


@dataclass(frozen=True)
class TextBatch:
    """N texts as bytes: text i is `data[offsets[i]:offsets[i + 1]]`, not copied from Arrow."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: pa.Array) -> "TextBatch":
        """Make a batch of a string or large_string array; nulls and other types are errors."""
        texts = _large_strings(texts)
        if texts.null_count:
            row = texts.is_null().index(True).as_py()
            raise FilterError(
                f"row {row} has no text (null; {texts.null_count} in all); every document needs "
                "one: drop these rows or fill them with '' first"
            )
        _, offsets, data = texts.buffers()
        if not len(texts):
            return cls(np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64))
        ends = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
        content = np.frombuffer(data, dtype=np.uint8) if data and data.size else np.zeros(0, "u1")
        return cls(content, ends)

    @classmethod
    def of_text(cls, text: str) -> "TextBatch":
        """Make a batch of one string."""
        return cls.of(pa.array([text], type=pa.large_string()))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def parts(self, most_bytes: int) -> Iterator["TextBatch"]:
        """Yield the batch in order, in parts of at most so many bytes, or of one longer text."""
        first = 0
        while first < len(self):
            last = int(np.searchsorted(self.offsets, self.offsets[first] + most_bytes, "right")) - 1
            last = max(last, first + 1)
            yield TextBatch(self.data, self.offsets[first : last + 1])
            first = last

    def bytes_of(self, index: int) -> bytes:
        """Return the UTF-8 bytes of one text."""
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def word_spans(self, index: int) -> npt.NDArray[np.int64]:
        """Return where each word of one text starts and stops, in bytes from its start, [W, 2]."""
        from filters.kernels.words import word_spans  # numba takes a second to import

        begin, end = self.offsets[index], self.offsets[index + 1]
        starts, stops = word_spans(self.data, begin, end, table())
        return np.stack((starts - begin, stops - begin), axis=1)

    def token_counts(self) -> npt.NDArray[np.int64]:
        """Return the number of words and symbols of each text, as the feature `tokens`."""
        from filters.kernels.words import count_tokens  # numba takes a second to import

        return count_tokens(self.data, self.offsets, table())

    def words(self, index: int) -> list[str]:
        """Return the words of one text, to look at."""
        content = self.bytes_of(index)
        return [content[start:stop].decode() for start, stop in self.word_spans(index)]


def prefix(batch: TextBatch, index: int, size: int) -> str:
    """Return the first `size` bytes of a text, less a character that the cut went through."""
    return batch.bytes_of(index)[:size].decode("utf-8", errors="ignore")


def chunks(texts: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    """Return the contiguous arrays of a column."""
    return texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]


def _large_strings(texts: pa.Array) -> pa.Array:
    if pa.types.is_large_string(texts.type):
        return texts
    if pa.types.is_string(texts.type) or pa.types.is_string_view(texts.type):
        return texts.cast(pa.large_string())
    raise FilterError(
        f"texts are of type {texts.type}; allowed: string, large_string: cast the column first"
    )
