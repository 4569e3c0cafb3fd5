"""Arrow IPC, the file form and the stream form (which `datasets` saves): one record a row."""

from collections.abc import Iterator
from itertools import accumulate
from os import SEEK_END
from typing import BinaryIO

import pyarrow as pa

from pipelines.reading.arrow_blocks import blocks_of, is_file_form
from pipelines.reading.arrow_checks import checked
from pipelines.reading.columns import BATCH_ROWS, DAMAGE, content_fault, records_of
from pipelines.reading.opening import opened
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.records import Record, damage
from pipelines.streams import BrokenStreamError

_STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"


def read_arrow(portion: Portion, _reading: Reading) -> Iterator[Record]:
    """Yield one record a row; its position is the row's number in the file, from 0.

    A damaged batch of the file form costs its own rows; of a stream, everything behind it too.
    """
    with opened(portion.file) as stream:
        yield from (_file if is_file_form(stream) else _stream)(portion, stream)


def _file(portion: Portion, stream: BinaryIO) -> Iterator[Record]:
    try:
        starts = list(accumulate((block.rows for block in blocks_of(stream)), initial=0))
        stream.seek(0)
        reader = pa.ipc.open_file(stream)
    except DAMAGE as error:
        raise BrokenStreamError(content_fault(error), "row 0") from error
    for number in range(reader.num_record_batches)[portion.start : portion.stop]:
        try:
            batch = checked(reader.get_batch(number))
        except DAMAGE as error:
            fault, reached = content_fault(error), f"row {starts[number]:,}"
            yield damage(portion.file, f"batch {number}", fault, reached)
            continue
        yield from _records(portion, starts[number], batch)


def _stream(portion: Portion, stream: BinaryIO) -> Iterator[Record]:
    row, reader = 0, None
    while True:
        try:
            reader = reader or pa.ipc.open_stream(stream)
            batch = checked(reader.read_next_batch())
        except StopIteration:
            break
        except DAMAGE as error:
            raise BrokenStreamError(content_fault(error), f"row {row:,}") from error
        yield from _records(portion, row, batch)
        row += batch.num_rows
    if _goes_on(stream):
        raise BrokenStreamError("bytes follow the end mark of the stream", f"row {row:,}")
    if not _has_end(stream):
        fault = "the stream ends without its end mark, so batches may be missing"
        raise BrokenStreamError(fault, f"row {row:,}")


def _records(portion: Portion, row: int, batch: pa.RecordBatch) -> Iterator[Record]:
    for first in range(0, batch.num_rows, BATCH_ROWS):
        yield from records_of(portion.file, row + first, batch.slice(first, BATCH_ROWS))


def _goes_on(stream: BinaryIO) -> bool:
    """Whether bytes follow where a stream was read to its end."""
    return stream.tell() < stream.seek(0, SEEK_END)


def _has_end(stream: BinaryIO) -> bool:
    """Whether a stream has its end mark: one that was cut between batches looks whole."""
    stream.seek(-len(_STREAM_END), SEEK_END)
    return stream.read() == _STREAM_END
