"""Take out the lines that C4 refuses, in C4's order, and join the others by newlines.

Rules and order: Raffel et al. 2020 (arXiv 1910.10683, 2.2) as tensorflow_datasets' c4_utils wrote
them down and datatrove 0.10.1 (C4QualityFilter) repeats them. A line is what str.splitlines()
gives, stripped; words are those of str.split():

    too_long_word            a word of more than `max_word_length` characters
    (citation)               [1], [], [edit] and [citation needed] are cut out of the line
    no_terminal_punctuation  does not end in . ? ! " ' or ends in "..."
    too_few_words            fewer than `min_words`, counted before citations were cut
    javascript               says "javascript", in any case
    policy                   says one of six phrases on cookies, privacy and terms of use

C4 also drops whole documents, over a line that got as far as the check for "lorem ipsum" or "{".
An edit judges nothing, so such a line stays: the rules on documents say the same before this edit
and after it. FineWeb's variant is `terminal_punctuation: false`. Cutting citations can leave a
space at a line's ends or fewer words, so a second application may change more; without citation
marks it changes nothing.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from filters.edits.edited import LINE, Edited, change_table, large_strings, texts_of
from filters.kernels.characters import table
from filters.text import TextBatch

KINDS: Final = (
    "too_long_word",
    "no_terminal_punctuation",
    "too_few_words",
    "javascript",
    "policy",
    "citation",
    "white_space",
)
"""What the edit reports. Bytes of a line are those of the stripped line; `white_space` is the rest:
indentation, empty lines' breaks, and breaks that became one byte."""

_LINE_KINDS = 5
_JAVASCRIPT, _POLICY = 2, 4


class C4Lines(BaseModel):
    """C4's line rules; the defaults are the paper's."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    max_word_length: int | None = Field(default=1000, ge=1)
    """Characters; null switches the rule off."""
    citations: bool = True
    terminal_punctuation: bool = True
    """False as FineWeb calls it (arXiv 2406.17557, 3.5)."""
    min_words: int = Field(default=3, ge=0)
    javascript: bool = True
    policy: bool = True

    def apply(self, documents: pa.Table) -> Edited:
        """Return the texts without the refused lines, which the changes name."""
        from filters.kernels.line_removal import c4_lines

        batch = TextBatch.of(texts_of(documents))
        data, offsets, counts, sizes, gone, gone_offsets, gone_text, gone_kind = c4_lines(
            batch.data,
            batch.offsets,
            table(),
            -1 if self.max_word_length is None else self.max_word_length,
            self.citations,
            self.terminal_punctuation,
            self.min_words,
            _JAVASCRIPT * self.javascript + _POLICY * self.policy,
        )
        rows, kinds = np.nonzero(counts)
        by_group = np.lexsort((np.arange(len(gone_text)), gone_kind, gone_text))
        lines = large_strings(gone, gone_offsets).take(pa.array(by_group))
        changes = change_table(
            rows,
            [KINDS[kind] for kind in kinds],
            counts[rows, kinds],
            sizes[rows, kinds],
            np.zeros(len(rows), dtype=np.int64),
            _grouped(lines, counts[rows, kinds], kinds < _LINE_KINDS),
        )
        return Edited(large_strings(data, offsets), changes)


def _grouped(
    lines: pa.Array, counts: npt.NDArray[np.int64], holds_lines: npt.NDArray[np.bool_]
) -> pa.Array:
    """Return the lines of each change as a list, null where its kind takes out no lines."""
    ends = np.concatenate(([0], np.cumsum(np.where(holds_lines, counts, 0)))).astype(np.int32)
    values = pa.StructArray.from_arrays(
        [lines, pa.nulls(len(lines), pa.int64())], fields=list(LINE)
    )
    return pa.ListArray.from_arrays(pa.array(ends), values, mask=pa.array(~holds_lines))
