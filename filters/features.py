"""Text statistics as columns: Arrow strings in, one Arrow column a statistic out.

Everything Gopher's quality and repetition rules need (Rae et al. 2021, arXiv 2112.11446, A.1;
formulas as in datatrove 0.10.1), computed once; rules are then thresholds on these columns.
A ratio of nothing (no words, no lines) is 0.
"""

from typing import Final

import numpy as np
import pyarrow as pa

from filters.kernels.characters import table
from filters.text import TextBatch, check_words, chunks

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's, case-sensitive."""

FEATURES: Final = {
    "characters": pa.int64(),
    "tokens": pa.int64(),
    "words": pa.int64(),  # tokens that are not punctuation alone
    "mean_word_length": pa.float64(),  # characters, over `words`
    "hash_ratio": pa.float64(),  # "#" per token
    "ellipsis_ratio": pa.float64(),  # "..." and "…" per token
    "bullet_line_ratio": pa.float64(),
    "ellipsis_line_ratio": pa.float64(),
    "alphabetic_token_ratio": pa.float64(),  # tokens with a letter
    "stop_words": pa.int64(),  # how many different ones of STOP_WORDS
    "lines": pa.int64(),  # str.splitlines()
    "repeated_paragraph_ratio": pa.float64(),
    "repeated_paragraph_character_ratio": pa.float64(),
    "repeated_line_ratio": pa.float64(),
    "repeated_line_character_ratio": pa.float64(),
    **{f"top_{n}_gram_character_ratio": pa.float64() for n in (2, 3, 4)},
    **{f"repeated_{n}_gram_character_ratio": pa.float64() for n in range(5, 11)},
}
"""Name and type of each statistic, in the order of the rows of `batch_statistics`."""


def compute(texts: pa.Array | pa.ChunkedArray, words: str = "unicode") -> pa.Table:
    """Return the statistics of N texts: N rows, the columns of FEATURES.

    `texts` are strings without nulls (FilterError); linear in their size, one thread, and the
    interpreter lock is free meanwhile. The first call of a process loads the compiled kernels.
    """
    from filters.kernels.statistics import batch_statistics  # numba takes a second to import

    check_words(words)
    packed_stop_words = np.array(
        [int.from_bytes(word.encode(), "little") for word in STOP_WORDS], dtype=np.int64
    )
    tables = []
    for chunk in chunks(texts):
        batch = TextBatch.of(chunk)
        rows = batch_statistics(batch.data, batch.offsets, table(), packed_stop_words)
        columns = [
            pa.array(values.astype(kind.to_pandas_dtype(), copy=False))
            for values, kind in zip(rows, FEATURES.values(), strict=True)
        ]
        tables.append(pa.table(columns, schema=SCHEMA))
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


SCHEMA: Final = pa.schema([pa.field(name, kind) for name, kind in FEATURES.items()])
