"""Memory-mapped Arrow shards as one long table of integer rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from llada.training.errors import ShardError

Ids = NDArray[np.unsignedinteger]


class Shard(BaseModel):
    """One Arrow IPC stream and the number of rows its manifest promises."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    rows: int = Field(gt=0)


class MappedBatch(NamedTuple):
    """A record batch and the file it lies in."""

    path: str
    batch: pa.RecordBatch


class Column:
    """A list column over record batches; a row is a view into the mapped file, never a copy."""

    def __init__(self, chunks: Sequence[tuple[Ids, Sequence[int] | NDArray[np.integer]]]) -> None:
        """Take (values, offsets) pairs: row i of a chunk is `values[offsets[i]:offsets[i + 1]]`."""
        self._chunks = chunks
        self._starts = np.cumsum([0, *(len(offsets) - 1 for _, offsets in chunks)])

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._starts[-1])

    def __getitem__(self, row: int) -> Ids:
        """Return the ids of one row."""
        chunk = int(np.searchsorted(self._starts, row, side="right")) - 1
        values, offsets = self._chunks[chunk]
        local = row - int(self._starts[chunk])
        return values[int(offsets[local]) : int(offsets[local + 1])]

    def lengths(self) -> NDArray[np.int64]:
        """Return the number of ids of every row."""
        return np.concatenate([np.diff(offsets).astype(np.int64) for _, offsets in self._chunks])


def map_shards(shards: Sequence[Shard]) -> list[MappedBatch]:
    """Map every shard and return its record batches, in the order given.

    Raises:
        ShardError: a file is missing, is not an Arrow IPC stream, or has another number of rows.
    """
    mapped: list[MappedBatch] = []
    for shard in shards:
        batches = _read(shard.path)
        rows = sum(batch.num_rows for batch in batches)
        if rows != shard.rows:
            msg = (
                f"{shard.path} holds {rows} rows, its manifest says {shard.rows}; "
                "the file changed after it was published: build the shards again"
            )
            raise ShardError(msg)
        mapped += [MappedBatch(shard.path, batch) for batch in batches if batch.num_rows]
    return mapped


def ragged_ids(mapped: Sequence[MappedBatch], name: str) -> Column:
    """Open a list<uint16|uint32> column.

    Raises:
        ShardError: the column is missing, has nulls, or is of another type.
    """
    chunks = []
    for path, batch in mapped:
        column = _id_column(path, batch, name)
        if pa.types.is_fixed_size_list(column.type):
            _reject(path, column, name)
        chunks.append((column.values.to_numpy(), column.offsets.to_numpy()))
    return Column(chunks)


def packed_ids(mapped: Sequence[MappedBatch], name: str) -> tuple[Column, int]:
    """Open a fixed_size_list<uint16|uint32> column; also return its one width.

    Raises:
        ShardError: the column is missing, has nulls, is of another type, or its widths differ.
    """
    chunks, width = [], 0
    for path, batch in mapped:
        column = _id_column(path, batch, name)
        if not pa.types.is_fixed_size_list(column.type):
            _reject(path, column, name)
        width = width or column.type.list_size
        if column.type.list_size != width:
            msg = (
                f"{path} has rows of {column.type.list_size} ids, earlier shards of {width}; "
                "one run needs one length: build the shards again with one seq_len"
            )
            raise ShardError(msg)
        # A range, not an array: offsets of half a billion rows would fill gigabytes.
        chunks.append((column.flatten().to_numpy(), range(0, (len(column) + 1) * width, width)))
    return Column(chunks), width


def texts(mapped: Sequence[MappedBatch], name: str) -> pa.Array:
    """Read a text column, such as `doc_id`, whole.

    Raises:
        ShardError: the column is missing.
    """
    return pa.chunked_array([_column(*each, name) for each in mapped]).combine_chunks()


def _read(path: str) -> list[pa.RecordBatch]:
    if not Path(path).is_file():
        msg = f"no shard at {path}; check the path, or build the shards again"
        raise ShardError(msg)
    try:
        return list(pa.ipc.open_stream(pa.memory_map(path)))
    except pa.ArrowInvalid as error:
        msg = f"{path} is not an Arrow IPC stream ({error}); build the shards again"
        raise ShardError(msg) from error


def _column(path: str, batch: pa.RecordBatch, name: str) -> pa.Array:
    if name not in batch.schema.names:
        msg = (
            f"{path} has columns {batch.schema.names}, needed is {name!r}; "
            "is it a shard for this objective?"
        )
        raise ShardError(msg)
    return batch.column(name)


def _id_column(path: str, batch: pa.RecordBatch, name: str) -> pa.Array:
    column = _column(path, batch, name)
    listlike = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not listlike and not pa.types.is_fixed_size_list(column.type):
        _reject(path, column, name)
    if not pa.types.is_unsigned_integer(column.type.value_type) or column.null_count:
        _reject(path, column, name)
    return column


def _reject(path: str, column: pa.Array, name: str) -> NoReturn:
    msg = (
        f"{path}: column {name!r} is {column.type} with {column.null_count} nulls; allowed is a "
        "list (prompt_ids, response_ids) or a fixed_size_list (input_ids) of uint16 or uint32 "
        "without nulls: build the shards again"
    )
    raise ShardError(msg)
