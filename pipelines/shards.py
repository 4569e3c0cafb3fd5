"""Shards and their records: what a worker wrote for one unit, and what resume starts from."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from pipelines import local_copies, storage
from pipelines.ledger import Ledger
from pipelines.storage import StorePath, Written

Role = Literal[
    "data", "rejects", "features", "validation", "report", "model", "aside", "checkpoint"
]

FOLDER_OF: Mapping[Role, str] = {
    "data": "data",
    "rejects": "rejects",
    "features": "features",
    "validation": "validation",
    "report": "report",
    "model": "model",
    "aside": "aside",
    "checkpoint": "checkpoints",
}


class FileEntry(BaseModel):
    """One file of an artifact; `path` is relative to the artifact's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    role: Role
    shard: str
    rows: int
    bytes: int
    xxh3_128: str
    content: str | None = None
    """A hash of the meaning where the bytes hold more than that (a listing's addresses)."""

    @property
    def content_hash(self) -> str:
        """What the artifact's digest is made of."""
        return self.content or self.xxh3_128


class ShardRecord(BaseModel):
    """Written after a shard's files are durable; present and of the right size means done."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard: str
    files: tuple[FileEntry, ...]
    ledger: Ledger
    metrics: Mapping[str, float] = {}

    def is_intact(self, found: Mapping[str, int]) -> bool:
        """Whether every file is among those found, with its recorded size."""
        return all(found.get(entry.path) == entry.bytes for entry in self.files)


def record_path(root: StorePath, shard: str) -> StorePath:
    """Return where the record of a shard lives."""
    return root / "_shards" / f"{shard}.json"


def load_records(root: StorePath, shards: Sequence[str]) -> dict[str, ShardRecord]:
    """Return the records of those of the shards that are finished; the others must be (re)done."""
    payloads = storage.read_all(record_path(root, shard) for shard in shards)
    records = [ShardRecord.model_validate_json(payload) for payload in payloads.values()]
    found = storage.sizes(root, [entry.path for record in records for entry in record.files])
    intact = {}
    for record in records:
        if record.is_intact(found):
            intact[record.shard] = record
        else:  # its files are gone or cut short: a record without them proves nothing
            storage.delete(record_path(root, record.shard))
    return intact


def load_record(root: StorePath, shard: str) -> ShardRecord | None:
    """Return the record of a finished shard, None where it must be (re)done."""
    return load_records(root, [shard]).get(shard)


def save_record(root: StorePath, record: ShardRecord) -> ShardRecord:
    """Publish a shard's record; where another attempt was first, return that one instead."""
    payload = json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True).encode()
    if storage.put_if_absent(record_path(root, record.shard), payload):
        return record
    first = load_record(root, record.shard)
    return first if first is not None else save_record(root, record)


class ShardFiles:
    """Writes the files of one shard under names unique to the attempt."""

    def __init__(self, root: StorePath, shard: str, attempt: str) -> None:
        self._root = root
        self._shard = shard
        self._attempt = attempt
        self._entries: list[FileEntry] = []

    @property
    def entries(self) -> tuple[FileEntry, ...]:
        """The files written so far."""
        return tuple(self._entries)

    def write_parquet(self, table: pa.Table, role: Role, *, content: str | None = None) -> None:
        """Write a table as zstd Parquet."""
        path = self._name(role, "parquet")
        with storage.durable_file(path) as handle:
            pq.write_table(table, handle, compression="zstd")
        self._add(path, handle.written, role, table.num_rows, content)

    def write_arrow(self, table: pa.Table, role: Role) -> None:
        """Write a table as an Arrow IPC stream, uncompressed so that it can be memory-mapped.

        The stream form, because `datasets.Dataset.from_file` maps that one and not the file form.
        """
        path = self._name(role, "arrow")
        with (
            storage.durable_file(path) as handle,
            pa.ipc.new_stream(handle, table.schema) as writer,
        ):
            writer.write_table(table, max_chunksize=1 << 16)
        self._add(path, handle.written, role, table.num_rows, None)

    def write_bytes(self, content: bytes, role: Role, *, name: str, rows: int = 1) -> None:
        """Write a whole file called `name` into the role's folder."""
        path = self._root / FOLDER_OF[role] / name
        self._add(path, storage.write_bytes(path, content), role, rows, None)

    def _name(self, role: Role, suffix: str) -> StorePath:
        return self._root / FOLDER_OF[role] / f"part-{self._shard}.{self._attempt}.{suffix}"

    def _add(
        self, path: StorePath, written: Written, role: Role, rows: int, content: str | None
    ) -> None:
        entry = describe(self._root, path, written, role, shard=self._shard, rows=rows)
        self._entries.append(entry.model_copy(update={"content": content}))


def describe(
    root: StorePath, path: StorePath, written: Written, role: Role, *, shard: str, rows: int
) -> FileEntry:
    """Return the entry of a file that was just written into the artifact's folder."""
    return FileEntry(
        path=storage.relative(path, root),
        role=role,
        shard=shard,
        rows=rows,
        bytes=written.bytes,
        xxh3_128=written.xxh3_128,
    )


def settle(root: StorePath, folder: StorePath, role: Role) -> tuple[FileEntry, ...]:
    """Make the files in `scratch(folder)` the artifact's, in the order of their names."""
    entries = []
    for source in sorted(local_copies.scratch(folder).iterdir()):
        target = folder / source.name
        written = local_copies.bring(source, target)
        entries.append(describe(root, target, written, role, shard=source.name, rows=1))
    local_copies.drop_scratch(folder)
    return tuple(entries)


def read_table(path: StorePath | str, columns: list[str] | None = None) -> pa.Table:
    """Return a Parquet file of a store as a table; a path travels to workers as a string."""
    with storage.local(storage.at(path) if isinstance(path, str) else path) as local:
        return pq.read_table(local, columns=columns, partitioning=None)
