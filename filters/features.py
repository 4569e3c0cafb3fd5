"""Text statistics as columns: Arrow strings in, one Arrow column a statistic out.

Everything Gopher's quality and repetition rules need (Rae et al. 2021, arXiv 2112.11446, A.1;
formulas as in datatrove 0.10.1), computed once; rules are then thresholds on these columns.
A ratio of nothing (no words, no lines) is 0.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from filters.errors import unknown
from filters.kernels import parts
from filters.kernels.characters import table
from filters.lang_scripts import scripts_of
from filters.openings import DERIVED, derived
from filters.text import TextBatch, check_words, chunks, prefix

if TYPE_CHECKING:
    from filters.kernels.statistics import GivenWords

PART_BYTES: Final = 4_000_000
"""Texts are worked on in parts of this size, so that memory does not grow with the batch."""

MOST_BYTES: Final = 8 << 20
"""A longer text is measured by so much of its beginning: the tables of its n-grams take fifty times
the memory of the text. `unmeasured_bytes` says what was left out."""

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
    "mean_line_length": pa.float64(),  # of str.splitlines(), in characters
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
        *(pa.field(name, kind) for name, kind in (FEATURES | DERIVED).items()),
        pa.field("chunk_cuts", pa.int64()),  # of overlong chunks: filters/spacy_words.py
        pa.field("unmeasured_bytes", pa.int64()),  # beyond MOST_BYTES
        pa.field("language_script", pa.string()),  # null where the language is not known
        pa.field("route", pa.string()),  # "code", "math", else the language_script
    ]
)
"""What `compute` returns; the last two are what a limit may depend on."""

_OF_LANGUAGE: Final = ("language_stop_words", "language_script", "route")
_PARTS: Final = {
    parts.NONE: ("characters", "chunk_cuts", "unmeasured_bytes", "language_script"),
    parts.WORDS: ("tokens", "words", "mean_word_length", "alphabetic_token_ratio", "stop_words"),
    parts.SYMBOLS: (
        "hash_ratio", "ellipsis_ratio", "bullet_line_ratio", "ellipsis_line_ratio", "lines",
    ),
    parts.REPEATED_SPANS: (
        "repeated_paragraph_ratio", "repeated_paragraph_character_ratio",
        "repeated_line_ratio", "repeated_line_character_ratio",
    ),
    parts.TOP_GRAMS: tuple(name for name in FEATURES if name.startswith("top_")),
    parts.REPEATED_GRAMS: tuple(f"repeated_{n}_gram_character_ratio" for n in range(5, 11)),
    parts.C4: tuple(name for name in FEATURES if name.startswith("c4_")),
    parts.STOP_LISTS: ("language_stop_words",),
}  # fmt: skip
_PART_OF: Final = {name: part for part, names in _PARTS.items() for name in names}
"""Which part of the pass finds a statistic; those that are not here come with parts.LINES."""


def compute(
    texts: pa.Array | pa.ChunkedArray,
    words: str = "unicode",
    languages: pa.Array | pa.ChunkedArray | None = None,
    names: Collection[str] = SCHEMA.names,
) -> pa.Table:
    """Return the statistics of N texts: N rows, the columns of SCHEMA, or those of `names`.

    `texts` are strings without nulls (FilterError); `languages` their codes, of lid.176 or as
    lang_Script, null where not known. Parts of the pass that no name asks for are left out. Time
    is linear in the size of the texts whatever they hold, memory is bounded (PART_BYTES,
    MOST_BYTES); one thread, and the interpreter lock is free meanwhile. The first call of a process
    loads the compiled kernels.
    """
    check_words(words)
    for name in names:
        if name not in SCHEMA.names:
            raise unknown("statistic", name, SCHEMA.names)
    schema = pa.schema([field for field in SCHEMA if field.name in names])
    arrays = chunks(texts)
    if languages is None:
        languages = pa.nulls(sum(map(len, arrays)), pa.string())
    tables, at = [], 0
    for array in arrays:
        scripts = pa.nulls(len(array), pa.string())
        if any(name in names for name in _OF_LANGUAGE):
            scripts = scripts_of(languages.slice(at, len(array)), array)
        at += len(array)
        first = 0
        for part in TextBatch.of(array).parts(PART_BYTES):
            found = _table(*_beginnings(part), scripts.slice(first, len(part)), words, schema)
            tables.append(found)
            first += len(part)
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _beginnings(batch: TextBatch) -> tuple[TextBatch, npt.NDArray[np.int64]]:
    """Return texts of at most MOST_BYTES, and how many bytes of each that leaves out."""
    sizes = np.diff(batch.offsets)
    if not (sizes > MOST_BYTES).any():
        return batch, np.zeros(len(batch), dtype=np.int64)
    texts = [prefix(batch, index, MOST_BYTES) for index in range(len(batch))]
    cut = TextBatch.of(pa.array(texts, pa.large_string()))
    return cut, sizes - np.diff(cut.offsets)


def _table(
    batch: TextBatch,
    unmeasured: npt.NDArray[np.int64],
    scripts: pa.Array,
    words: str,
    schema: pa.Schema,
) -> pa.Table:
    from filters.kernels.statistics import batch_statistics  # numba takes a second to import
    from filters.kernels.stop_words import NONE
    from filters.stop_lists import stop_lists

    wanted = 0
    for name in schema.names:
        wanted |= _PART_OF.get(name, parts.LINES)
    gopher = np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.int64)
    listed = scripts if wanted & parts.STOP_LISTS else pa.nulls(len(scripts), pa.string())
    lists = stop_lists(listed.to_pylist())
    asks = wanted & parts.NEED_TOKENS or "chunk_cuts" in schema.names
    given, cuts = _given_words(batch, words if asks else "unicode")
    rows = batch_statistics(batch.data, batch.offsets, table(), gopher, lists, given, wanted)
    columns = {
        name: pa.array(values.astype(kind.to_pandas_dtype(), copy=False))
        for (name, kind), values in zip(FEATURES.items(), rows, strict=True)
    }
    columns["language_stop_words"] = pc.if_else(
        pa.array(lists.of_document != NONE), columns["language_stop_words"], None
    )
    columns["chunk_cuts"] = pa.array(cuts)
    columns["unmeasured_bytes"] = pa.array(unmeasured)
    columns["language_script"] = scripts
    if any(name in DERIVED for name in schema.names):
        columns |= derived(batch, columns)
    if "route" in schema.names:
        code, commands = columns["code_character_ratio"], columns["command_ratio"]
        columns["route"] = _routes(code, commands, scripts)
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _given_words(batch: TextBatch, words: str) -> tuple["GivenWords", npt.NDArray[np.int64]]:
    """Return the words of a definition that the statistics pass does not find itself, and cuts."""
    from filters.kernels.statistics import NO_WORDS, GivenWords

    if words == "unicode":
        return NO_WORDS, np.zeros(len(batch), dtype=np.int64)
    from filters.spacy_words import spacy_words

    spans = spacy_words().spans(batch)
    return GivenWords(spans.starts, spans.stops, spans.firsts), spans.cuts


def _routes(code: pa.Array, commands: pa.Array, scripts: pa.Array) -> pa.Array:
    return pc.case_when(
        pc.make_struct(
            pc.greater_equal(commands, MATH_COMMANDS), pc.greater_equal(code, CODE_CHARACTERS)
        ),
        "math",
        "code",
        scripts,
    )
