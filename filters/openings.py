"""What the beginning of a text says of it (a program wrote it, it is XML), and sums of ratios."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.text import TextBatch

GENERATED: Final = (
    r"(?i)\A(?:[^\n]*\n){0,4}[^\n]*"
    r"(auto[- ]?generated|automatically[- ]generated|code[- ]generated)"
)
"""In one of the first five lines, as CodeParrot looks for it (see rule_sets.py), in a few more
spellings and in Go's "Code generated"; the words are its group."""
LOOKED_AT: Final = 2_000
"""Characters from the start of a text, of which the five lines are."""
XML: Final = "<?xml version="
XML_WITHIN: Final = 100

DERIVED: Final = {
    "alphanumeric_character_ratio": pa.float64(),  # letters and decimal digits, over characters
    "content_characters": pa.int64(),  # less white space, less punctuation
    "generated_marks": pa.int64(),  # 1 where the text says that a program wrote it
    "xml_declarations": pa.int64(),  # 1 where XML is announced in the first 100 characters
}
"""Statistics that follow from others, or from a text's beginning."""


def derived(batch: TextBatch, statistics: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """Return the columns DERIVED of N texts whose other statistics are known, [N] each."""
    characters = statistics["characters"].to_numpy()
    letters, digits, spaces, marks = (
        np.rint(statistics[f"{kind}_character_ratio"].to_numpy() * characters)
        for kind in ("alphabetic", "digit", "white_space", "punctuation")
    )  # a ratio times its whole is the part again, to the last bit, below 2**52
    beginnings = pc.utf8_slice_codeunits(_strings(batch), 0, LOOKED_AT)
    announced = pc.utf8_slice_codeunits(beginnings, 0, XML_WITHIN)
    return {
        "alphanumeric_character_ratio": pa.array(
            (letters + digits) / np.maximum(characters, 1), pa.float64()
        ),
        "content_characters": pa.array((characters - spaces - marks).astype(np.int64)),
        "generated_marks": pc.match_substring_regex(beginnings, GENERATED).cast(pa.int64()),
        "xml_declarations": pc.match_substring(announced, XML).cast(pa.int64()),
    }


def _strings(batch: TextBatch) -> pa.Array:
    """Return the texts of a batch as Arrow has them, not copied."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(batch.offsets)), pa.py_buffer(batch.data)]
    return pa.Array.from_buffers(pa.large_string(), len(batch), buffers)
