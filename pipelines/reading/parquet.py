"""Parquet: one record a row."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.listed_files import SourceFile
from pipelines.reading.columns import BATCH_ROWS, records_of
from pipelines.reading.records import Record
from pipelines.streams import BrokenStreamError


def read_parquet(file: SourceFile, _most_bytes: int) -> Iterator[Record]:
    """Yield one record a row; its position is the row's number, from 0."""
    row = 0
    try:
        with pq.ParquetFile(file.uri, page_checksum_verification=True) as parquet:
            for batch in _batches(parquet):
                for record in records_of(file, row, batch):
                    yield record
                    row += 1
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the content
            raise
        raise BrokenStreamError(str(error), f"row {row:,}") from error


def _batches(parquet: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Yield batches that end with their row group, so that a bad group costs no good row."""
    for group in range(parquet.num_row_groups):
        yield from parquet.iter_batches(BATCH_ROWS, row_groups=[group])
