"""Text statistics as columns: Arrow strings in, one Arrow column a statistic out.

Everything Gopher's quality and repetition rules need (Rae et al. 2021, arXiv 2112.11446, A.1;
formulas as in datatrove 0.10.1), computed once; rules are then thresholds on these columns.
A ratio of nothing (no words, no lines) is 0.
"""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.kernels.characters import table
from filters.lang_scripts import scripts_of
from filters.text import TextBatch, check_words, chunks

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's, case-sensitive."""

CODE_CHARACTERS, MATH_COMMANDS = 0.05, 0.05
"""From here on `route` says "code" or "math"."""

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
    "c4_sentences": pa.int64(),  # of the lines C4 keeps (kernels/c4_lines.py)
    "c4_lorem_ipsum_lines": pa.int64(),
    "c4_curly_bracket_lines": pa.int64(),
    "c4_fineweb_sentences": pa.int64(),  # the same three, lines without a terminal mark kept
    "c4_fineweb_lorem_ipsum_lines": pa.int64(),
    "c4_fineweb_curly_bracket_lines": pa.int64(),
    "marked_line_ratio": pa.float64(),  # of lines between "\n" that are not blank, from here:
    "short_line_ratio": pa.float64(),  # at most 30 characters
    "repeated_nonblank_line_character_ratio": pa.float64(),  # over characters other than "\n"
    "newline_ratio": pa.float64(),  # "\n" per token
    "language_stop_words": pa.int64(),  # different ones of its language; null: none known
    "mean_line_length": pa.float64(),  # characters between "\n"
    "longest_line": pa.int64(),
    "alphabetic_character_ratio": pa.float64(),  # over all characters, to the end
    "digit_character_ratio": pa.float64(),
    "white_space_character_ratio": pa.float64(),
    "punctuation_character_ratio": pa.float64(),
    "code_character_ratio": pa.float64(),  # {}()[];=<>_/\*&|+
    "command_ratio": pa.float64(),  # a backslash before a letter, as in LaTeX, per token
}
"""Name and type of each statistic, in the order of the rows of `batch_statistics`."""


SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, kind) for name, kind in FEATURES.items()),
        pa.field("language_script", pa.string()),  # null where the language is not known
        pa.field("route", pa.string()),  # "code", "math", else the language_script
    ]
)
"""What `compute` returns; the last two are what a limit may depend on."""


def compute(
    texts: pa.Array | pa.ChunkedArray,
    words: str = "unicode",
    languages: pa.Array | pa.ChunkedArray | None = None,
) -> pa.Table:
    """Return the statistics of N texts: N rows, the columns of SCHEMA.

    `texts` are strings without nulls (FilterError); `languages` their codes, of lid.176 or as
    lang_Script, null where not known. Linear in the size of the texts, one thread, and the
    interpreter lock is free meanwhile. The first call of a process loads the compiled kernels.
    """
    check_words(words)
    parts = chunks(texts)
    if languages is None:
        languages = pa.nulls(sum(map(len, parts)), pa.string())
    tables, at = [], 0
    for part in parts:
        scripts = scripts_of(languages.slice(at, len(part)), part)
        tables.append(_table(TextBatch.of(part), scripts))
        at += len(part)
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def _table(batch: TextBatch, scripts: pa.Array) -> pa.Table:
    from filters.kernels.statistics import batch_statistics  # numba takes a second to import
    from filters.kernels.stop_words import NONE
    from filters.stop_lists import stop_lists

    gopher = np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.int64)
    lists = stop_lists(scripts.to_pylist())
    rows = batch_statistics(batch.data, batch.offsets, table(), gopher, lists)
    columns = {
        name: pa.array(values.astype(kind.to_pandas_dtype(), copy=False))
        for (name, kind), values in zip(FEATURES.items(), rows, strict=True)
    }
    columns["language_stop_words"] = pc.if_else(
        pa.array(lists.of_document != NONE), columns["language_stop_words"], None
    )
    columns["language_script"] = scripts
    columns["route"] = _routes(columns["code_character_ratio"], columns["command_ratio"], scripts)
    return pa.table(columns, schema=SCHEMA)


def _routes(code: pa.Array, commands: pa.Array, scripts: pa.Array) -> pa.Array:
    return pc.case_when(
        pc.make_struct(
            pc.greater_equal(commands, MATH_COMMANDS), pc.greater_equal(code, CODE_CHARACTERS)
        ),
        "math",
        "code",
        scripts,
    )
