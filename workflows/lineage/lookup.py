"""Where documents stand in the files of an artifact, read from the columns that name them alone.

Parquet files are skipped by the statistics of their row groups; token shards are memory-mapped, so
that the tokens themselves are never read. Texts are read only for the one row that is asked for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.shards import FileEntry, Role
from pipelines.storage import StorePath
from pipelines.workspace import InputArtifact

_LAST = "\U0010ffff"
_LOCAL = type(Path())


@dataclass(frozen=True)
class Wanted:
    """A document by its id, or by the beginning of its id."""

    text: str
    whole: bool = True

    def may_be_between(self, low: str, high: str) -> bool:
        """Whether a sorted range can hold it; what statistics are asked."""
        end = self.text if self.whole else self.text + _LAST
        return low <= end and self.text <= high

    def mask(self, ids: pa.Array) -> pa.Array:
        """Return which of some ids are wanted."""
        return pc.equal(ids, self.text) if self.whole else pc.starts_with(ids, self.text)


@dataclass(frozen=True)
class Hit:
    """One row that names a document."""

    entry: FileEntry
    row: int
    doc_id: str
    offset: int | None = None
    """In a token shard: where in the sequence the document starts."""
    tokens: int | None = None
    """In a token shard: how many positions of this sequence it fills, padding included."""


def hits(
    artifact: InputArtifact,
    roles: Iterable[Role],
    wanted: Wanted,
    likely: int,
    known: str | None = None,
) -> list[Hit]:
    """Return the rows of the first file that names a document, [] where none does.

    `likely` is the number of the data file that held it one stage earlier: shards follow the order
    of the files they were made of, so the shard of that number is looked at first. `known` is the
    path of a file that is known to hold it.
    """
    entries = [entry for role in roles for entry in artifact.entries(role)]
    expected = f"{likely:05d}"
    entries.sort(key=lambda e: (e.path != known, not e.shard.endswith(expected)))
    for entry in entries:
        found = list(hits_in(artifact, entry, wanted))
        if found:
            return found
    return []


def hits_in(artifact: InputArtifact, entry: FileEntry, wanted: Wanted) -> Iterator[Hit]:
    """Yield the rows of one file that name a document; files without ids have none."""
    if entry.path.endswith(".parquet"):
        yield from _in_parquet(artifact.path(entry), entry, wanted)
    elif entry.path.endswith(".arrow"):
        yield from _in_arrow(artifact.path(entry), entry, wanted)


def _in_parquet(path: StorePath, entry: FileEntry, wanted: Wanted) -> Iterator[Hit]:
    with _parquet(path) as file:
        start = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if _may_hold(file, group, "doc_id", wanted):
                ids = file.read_row_group(group, columns=["doc_id"])["doc_id"].combine_chunks()
                for at in _where(wanted.mask(ids)):
                    yield Hit(entry, start + at, ids[at].as_py())
            start += rows


def _in_arrow(path: StorePath, entry: FileEntry, wanted: Wanted) -> Iterator[Hit]:
    start = 0
    for batch in _batches(path):
        if "doc_ids" in batch.schema.names:
            ids = batch["doc_ids"]
            flat, rows = ids.flatten(), pc.list_parent_indices(ids)
            offsets = batch["offsets"].flatten()
            length = batch.schema.field("input_ids").type.list_size
            for at in _where(wanted.mask(flat)):
                row, offset = rows[at].as_py(), offsets[at].as_py()
                last = at + 1 == len(rows) or rows[at + 1].as_py() != row
                end = length if last else offsets[at + 1].as_py()
                yield Hit(entry, start + row, flat[at].as_py(), offset, end - offset)
        elif "doc_id" in batch.schema.names:
            for at in _where(wanted.mask(batch["doc_id"])):
                yield Hit(entry, start + at, batch["doc_id"][at].as_py())
        start += batch.num_rows


def row_of(artifact: InputArtifact, hit: Hit) -> dict[str, Any]:
    """Return the whole row of a hit in a Parquet file, its text included."""
    with _parquet(artifact.path(hit.entry)) as file:
        start = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if hit.row < start + rows:
                table = file.read_row_group(group).slice(hit.row - start, 1)
                row: dict[str, Any] = table.to_pylist()[0]
                return row
            start += rows
    return {}


def parquet_rows(path: StorePath, columns: list[str]) -> list[dict[str, Any]]:
    """Return some columns of a small Parquet file as rows."""
    with _parquet(path) as file:
        rows: list[dict[str, Any]] = file.read(columns=columns).to_pylist()
        return rows


def ids_where(path: StorePath, column: str, value: str) -> pa.ChunkedArray:
    """Return the doc_ids of the rows of a Parquet file whose `column` is `value`."""
    found: list[pa.Array] = []
    with _parquet(path) as file:
        for group in range(file.num_row_groups):
            if _may_hold(file, group, column, Wanted(value)):
                table = file.read_row_group(group, columns=["doc_id", column])
                found += table.filter(pc.equal(table[column], value))["doc_id"].chunks
    return pa.chunked_array(found, pa.string())


def sequences_with(path: StorePath, ids: pa.ChunkedArray) -> tuple[int, int]:
    """Return how many of some documents lie in a token shard, and in how many of its sequences."""
    documents, sequences = set[str](), 0
    for batch in _batches(path):
        if "doc_ids" not in batch.schema.names:
            continue
        flat = batch["doc_ids"].flatten()
        mask = pc.is_in(flat, value_set=ids)
        documents.update(flat.filter(mask).to_pylist())
        sequences += len(pc.unique(pc.list_parent_indices(batch["doc_ids"]).filter(mask)))
    return len(documents), sequences


def _may_hold(file: pq.ParquetFile, group: int, column: str, wanted: Wanted) -> bool:
    """Whether a row group can hold a value: False where there is no such column at all."""
    names = file.schema_arrow.names
    if column not in names:
        return False
    facts = file.metadata.row_group(group)
    for number in range(facts.num_columns):
        if facts.column(number).path_in_schema == column:
            statistics = facts.column(number).statistics
            if statistics is None or not statistics.has_min_max:
                return bool(facts.num_rows)
            return wanted.may_be_between(str(statistics.min), str(statistics.max))
    return False


def _where(mask: pa.Array) -> list[int]:
    found: list[int] = pc.indices_nonzero(mask).to_pylist()
    return found


def _parquet(path: StorePath) -> pq.ParquetFile:
    return pq.ParquetFile(path if isinstance(path, _LOCAL) else path.open("rb"))


def _batches(path: StorePath) -> Iterator[pa.RecordBatch]:
    source = pa.memory_map(str(path)) if isinstance(path, _LOCAL) else path.open("rb")
    with source, pa.ipc.open_stream(source) as reader:
        yield from reader
