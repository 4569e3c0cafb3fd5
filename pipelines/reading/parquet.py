"""Parquet: one record a row."""

from collections.abc import Iterator
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.reading.columns import BATCH_ROWS, DAMAGE, content_fault, records_of
from pipelines.reading.opening import opened
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.records import Record, damage
from pipelines.streams import BrokenStreamError

_BUFFER = 1 << 20
"""Bytes of a column held at once: else all of a row group is, which may be all of a file."""


def read_parquet(portion: Portion, _reading: Reading) -> Iterator[Record]:
    """Yield one record a row; its position is the row's number in the file, from 0.

    A row group that is damaged costs its own rows; the next one is read.
    """
    with opened(portion.file) as stream:
        try:
            parquet = pq.ParquetFile(
                stream, page_checksum_verification=True, buffer_size=_BUFFER, pre_buffer=False
            )
        except DAMAGE as error:
            raise BrokenStreamError(content_fault(error), "row 0") from error
        with parquet:
            ends = list(accumulate(group_rows(parquet), initial=0))
            for group in range(parquet.num_row_groups)[portion.start : portion.stop]:
                yield from _group(portion, parquet, group, ends[group])
            if portion.stop is None and ends[-1] != parquet.metadata.num_rows:
                fault = f"the footer names {parquet.metadata.num_rows:,} rows"
                raise BrokenStreamError(fault, f"row {ends[-1]:,}")


def group_rows(parquet: pq.ParquetFile) -> list[int]:
    """Return the rows of each row group."""
    return [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]


def _group(portion: Portion, parquet: pq.ParquetFile, group: int, row: int) -> Iterator[Record]:
    end = row + parquet.metadata.row_group(group).num_rows
    fault = f"the row group ends before row {end:,}"  # a damaged page may look like one of no value
    try:
        for batch in _batches(parquet, group):
            yield from records_of(portion.file, row, batch)
            row += batch.num_rows
    except BrokenStreamError as error:
        fault, end = error.reason, -1
    if row != end:
        yield damage(portion.file, f"group {group}", fault, f"row {row:,}")


def _batches(parquet: pq.ParquetFile, group: int) -> Iterator[pa.RecordBatch]:
    try:
        yield from parquet.iter_batches(BATCH_ROWS, row_groups=[group])
    except DAMAGE as error:
        raise BrokenStreamError(content_fault(error), "") from error
