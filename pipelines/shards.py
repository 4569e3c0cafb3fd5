"""Shards and their records: what a worker wrote for one unit, and what resume starts from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from pipelines import storage
from pipelines.ledger import Ledger

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

    def is_intact(self, root: Path) -> bool:
        """Whether every file is there with its recorded size."""
        return all(
            (root / entry.path).is_file() and (root / entry.path).stat().st_size == entry.bytes
            for entry in self.files
        )


def record_path(root: Path, shard: str) -> Path:
    """Return where the record of a shard lives."""
    return root / "_shards" / f"{shard}.json"


def load_record(root: Path, shard: str) -> ShardRecord | None:
    """Return the record of a finished shard, None where it must be (re)done."""
    path = record_path(root, shard)
    if not path.is_file():
        return None
    record = ShardRecord.model_validate_json(path.read_bytes())
    if record.is_intact(root):
        return record
    path.unlink()  # its files are gone or cut short: a record without them proves nothing
    return None


def save_record(root: Path, record: ShardRecord) -> ShardRecord:
    """Publish a shard's record; where another attempt was first, return that one instead."""
    payload = json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True).encode()
    if storage.put_if_absent(record_path(root, record.shard), payload):
        return record
    first = load_record(root, record.shard)
    return first if first is not None else save_record(root, record)


class ShardFiles:
    """Writes the files of one shard under names unique to the attempt."""

    def __init__(self, root: Path, shard: str, attempt: str) -> None:
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
        self._add(path, role, table.num_rows, content)

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
        self._add(path, role, table.num_rows, None)

    def write_bytes(self, content: bytes, role: Role, *, name: str, rows: int = 1) -> None:
        """Write a whole file called `name` into the role's folder."""
        path = self._root / FOLDER_OF[role] / name
        storage.write_bytes(path, content)
        self._add(path, role, rows, None)

    def _name(self, role: Role, suffix: str) -> Path:
        return self._root / FOLDER_OF[role] / f"part-{self._shard}.{self._attempt}.{suffix}"

    def _add(self, path: Path, role: Role, rows: int, content: str | None) -> None:
        entry = describe(self._root, path, role, shard=self._shard, rows=rows, content=content)
        self._entries.append(entry)


def describe(
    root: Path, path: Path, role: Role, *, shard: str, rows: int, content: str | None = None
) -> FileEntry:
    """Return the entry of a file that already lies in the artifact's folder."""
    return FileEntry(
        path=path.relative_to(root).as_posix(),
        role=role,
        shard=shard,
        rows=rows,
        bytes=path.stat().st_size,
        xxh3_128=storage.hash_file(path),
        content=content,
    )
