"""Where the record batches of an Arrow file lie and how many rows each has, from metadata alone.

pyarrow tells neither without reading (and inflating) the batches themselves. The layout is that of
the Arrow columnar format, "IPC File Format": a footer names the blocks, each begins with a message
that names its length; both are flatbuffers (File.fbs, Message.fbs).
"""

import struct
from os import SEEK_END
from typing import BinaryIO, NamedTuple

MAGIC = b"ARROW1"
_CONTINUES = 0xFFFFFFFF
_DICTIONARIES, _BATCHES = 2, 3
"""Footer.dictionaries, Footer.recordBatches."""
_HEADER = 2
"""Message.header, a RecordBatch."""
_LENGTH = 0
"""RecordBatch.length."""
_TAIL = struct.Struct(f"<I{len(MAGIC)}s")
_PLACE = struct.Struct("<qi4xq")
_BEGINNING = 8
"""Bytes before the schema: the magic, filled up."""
_MOST_PADDING = 64
"""Bytes between the last message and the footer that belong to neither, an end mark among them."""


class Block(NamedTuple):
    """One record batch of a file."""

    bytes: int
    rows: int


class _Place(NamedTuple):
    offset: int
    metadata: int
    body: int


def is_file_form(stream: BinaryIO) -> bool:
    """Say whether this is Arrow's file form, which has a footer; the stream form has none."""
    stream.seek(0)
    beginning = stream.read(len(MAGIC))
    stream.seek(0)
    return beginning == MAGIC


def blocks_of(stream: BinaryIO) -> list[Block]:
    """Return the record batches of a file in the file form.

    Raises:
        ValueError: the footer or a message is damaged.
    """
    try:
        return list(_blocks(stream))
    except (struct.error, OverflowError) as error:
        raise ValueError(f"the footer of the Arrow file is damaged: {error}") from error


def _blocks(stream: BinaryIO) -> list[Block]:
    end = stream.seek(0, SEEK_END) - _TAIL.size
    stream.seek(max(0, end))
    size, mark = _TAIL.unpack(stream.read(_TAIL.size))
    if mark != MAGIC or size > end:
        raise ValueError("the file does not end as an Arrow file does")
    stream.seek(end - size)
    footer = stream.read(size)
    batches = _places(footer, _BATCHES)
    reached = _schema_end(stream)
    for place in [*_places(footer, _DICTIONARIES), *batches]:
        if min(place) < 0 or place.offset > end:
            raise ValueError("the footer of the Arrow file is damaged: a batch lies outside of it")
        reached = max(reached, sum(place))
    if end - size - reached > _MOST_PADDING:
        raise ValueError(f"the footer of the Arrow file names no batch behind byte {reached:,}")
    found = []
    for place in batches:
        stream.seek(place.offset)
        found.append(Block(place.metadata + place.body, _rows(stream.read(place.metadata))))
    return found


def _places(footer: bytes, field: int) -> list[_Place]:
    """Return where the messages lie that a field of the footer lists."""
    at = _field(footer, _root(footer), field)
    if at is None:
        return []
    vector = at + _number("<I", footer, at)
    count = _number("<I", footer, vector)
    if count * _PLACE.size > len(footer):
        raise ValueError(f"the footer of the Arrow file names {count:,} batches it has no room for")
    first = vector + 4
    return [_Place(*_PLACE.unpack_from(footer, first + n * _PLACE.size)) for n in range(count)]


def _schema_end(stream: BinaryIO) -> int:
    stream.seek(_BEGINNING)
    prefix = stream.read(8)
    is_long = _number("<I", prefix, 0) == _CONTINUES
    return _BEGINNING + (8 + _number("<I", prefix, 4) if is_long else 4 + _number("<I", prefix, 0))


def _rows(message: bytes) -> int:
    start = 8 if _number("<I", message, 0) == _CONTINUES else 4  # 4 before Arrow 0.15
    message = message[start:]
    header = _field(message, _root(message), _HEADER)
    if header is None:
        return 0
    length = _field(message, header + _number("<I", message, header), _LENGTH)
    return 0 if length is None else _number("<q", message, length)


def _root(buffer: bytes) -> int:
    return _number("<I", buffer, 0)


def _field(buffer: bytes, table: int, index: int) -> int | None:
    """Return where a field of a flatbuffers table lies, None where it has its default."""
    offsets = table - _number("<i", buffer, table)
    at = 4 + 2 * index
    if at >= _number("<H", buffer, offsets):
        return None
    offset = _number("<H", buffer, offsets + at)
    return table + offset if offset else None


def _number(kind: str, buffer: bytes, at: int) -> int:
    if at < 0:  # struct would count it from the end
        raise ValueError("the footer of the Arrow file is damaged")
    number: int = struct.unpack_from(kind, buffer, at)[0]
    return number
