"""Arrow IPC, the file form and the stream form (which `datasets` saves): one record a row."""

from collections.abc import Iterator
from os import SEEK_END
from typing import BinaryIO

import pyarrow as pa

from pipelines.reading.columns import BATCH_ROWS, records_of
from pipelines.reading.opening import opened
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.records import Record
from pipelines.streams import BrokenStreamError

_FILE_FORM = b"ARROW1"
_STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"


def read_arrow(portion: Portion, _reading: Reading) -> Iterator[Record]:
    """Yield one record a row; its position is the row's number, from 0."""
    row = 0
    with opened(portion.file) as stream:
        try:
            for batch in _batches(stream):
                for first in range(0, batch.num_rows, BATCH_ROWS):
                    for record in records_of(portion.file, row, batch.slice(first, BATCH_ROWS)):
                        yield record
                        row += 1
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk, not the content
                raise
            raise BrokenStreamError(str(error), f"row {row:,}") from error


def _batches(stream: BinaryIO) -> Iterator[pa.RecordBatch]:
    beginning = stream.read(len(_FILE_FORM))
    stream.seek(0)
    if beginning != _FILE_FORM:
        yield from pa.ipc.open_stream(stream)
        _check_end(stream)
        return
    reader = pa.ipc.open_file(stream)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def _check_end(stream: BinaryIO) -> None:
    """Raise ArrowInvalid where a stream lacks its end mark: cut between batches it looks whole."""
    stream.seek(-len(_STREAM_END), SEEK_END)
    if stream.read() != _STREAM_END:
        raise pa.ArrowInvalid("the stream ends without its end mark, so batches may be missing")
