"""What an edit returns: the texts as they are now, and a row for everything it did to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers = npt.NDArray[np.int64]

LINE: Final = pa.struct([("text", pa.large_string()), ("documents", pa.int64())])
"""A removed line, and in how many documents of its host it stands, where that is the reason."""

CHANGE: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("removed", pa.int64(), nullable=False),
        pa.field("added", pa.int64(), nullable=False),
        pa.field("lines", pa.list_(LINE)),
    ]
)
"""One row a document and kind of change, in the order of the documents. `removed` and `added` are
UTF-8 bytes: a text's size after the edit is its size before, less all removed, plus all added.
`lines` are the lines that were taken out; null where an edit takes out no lines."""


@dataclass(frozen=True)
class Edited:
    """N texts after an edit (large_string[N]), and its CHANGE rows."""

    texts: pa.Array
    changes: pa.Table


class Edit(Protocol):
    """Reads the column `text` of a table (and `url`, where it needs it); judges nothing."""

    def apply(self, documents: pa.Table) -> Edited:
        """Return the texts as they are after the edit."""
        ...


def texts_of(documents: pa.Table) -> pa.Array:
    """Return the column `text` as one large_string array."""
    column = documents["text"].cast(pa.large_string()).combine_chunks()
    return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)


def large_strings(data: npt.NDArray[np.uint8], offsets: Integers) -> pa.Array:
    """Return texts from their bytes, large_string[N]; `offsets` has N + 1 entries from 0."""
    return pa.LargeStringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(data)
    )


def change_table(  # noqa: PLR0917
    rows: Integers,
    kinds: list[str],
    counts: Integers,
    removed: Integers,
    added: Integers,
    lines: pa.Array | None = None,
) -> pa.Table:
    """Return CHANGE rows from columns of equal length."""
    if lines is None:
        lines = pa.nulls(len(rows), CHANGE.field("lines").type)
    columns = [pa.array(column, pa.int64()) for column in (counts, removed, added)]
    return pa.table([pa.array(rows, pa.int64()), pa.array(kinds), *columns, lines], schema=CHANGE)


def change_rows(found: Sequence[tuple[int, str, int, int, int]]) -> pa.Table:
    """Return CHANGE rows from (row, kind, count, removed, added), without lines."""
    numbers = np.array([(row, *sizes) for row, _, *sizes in found], dtype=np.int64).reshape(-1, 4)
    rows, counts, removed, added = numbers.T
    return change_table(rows, [kind for _, kind, *_ in found], counts, removed, added)


def replaced(texts: pa.Array, by_row: Mapping[int, str]) -> pa.Array:
    """Return the texts with some of them replaced."""
    if not by_row:
        return texts
    rows = sorted(by_row)
    mask = np.zeros(len(texts), dtype=np.bool_)
    mask[rows] = True
    values = pa.array([by_row[row] for row in rows], pa.large_string())
    return pc.replace_with_mask(texts, pa.array(mask), values)
