"""Rows of an Arrow batch as records; a value that cannot be read costs its row, not the batch."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipelines.listed_files import SourceFile
from pipelines.reading.plain import readable
from pipelines.reading.records import Record, Reject, broken, from_fields

BATCH_ROWS = 256
"""So many rows are held as Python values at once."""
_NO_VALUE = (pa.ArrowException, ValueError, ArithmeticError, LookupError)
"""What is raised for text that is not UTF-8 (a ValueError), dates after 9999 and too many digits
(ArithmeticErrors), and for names of time zones that nobody knows (a LookupError)."""
DAMAGE = (*_NO_VALUE, OSError, MemoryError)
"""What a damaged file raises: its names are no text, a length asks for any amount of memory."""


def records_of(file: SourceFile, first_row: int, batch: pa.RecordBatch) -> Iterator[Record]:
    """Yield one record a row; the first is row `first_row` of its file."""
    for row, fields in enumerate(_rows(batch), start=first_row):
        if isinstance(fields, Exception):
            yield _unreadable_row(file, row, fields)
        else:
            yield from_fields(file, row, fields)


def content_fault(error: Exception) -> str:
    """Return what is wrong with the content; raises the error where it is the disk's."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    if isinstance(error, pa.ArrowException | OSError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _rows(batch: pa.RecordBatch) -> Sequence[dict[str, Any] | Exception]:
    """Return the rows of a batch; in place of one that Python cannot hold stands its error."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except _NO_VALUE:
        return [_row(batch, index) for index in range(batch.num_rows)]
    return rows


def _row(batch: pa.RecordBatch, index: int) -> dict[str, Any] | Exception:
    try:
        row: dict[str, Any] = batch.slice(index, 1).to_pylist()[0]
    except _NO_VALUE as error:
        return error
    return row


def _unreadable_row(file: SourceFile, row: int, error: Exception) -> Reject:
    if isinstance(error, UnicodeDecodeError):
        return broken(file, row, f"not UTF-8: {error}", readable(error.object))
    return broken(file, row, f"a value without a Python equivalent: {error}")
