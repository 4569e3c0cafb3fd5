"""Spill files: what one step writes for the next, a record batch for each partition.

An Arrow IPC file, so that a reader finds its batch without the others. Spills are named in the
records of their step, for resume, and deleted once the stage's documents are written.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines import storage
from pipelines.dedup.layout import Integers, Job
from pipelines.shards import FileEntry, ShardRecord, describe

SCHEMAS: Mapping[str, pa.Schema] = {
    "sketches": pa.schema(
        {
            "hash": pa.uint64(),
            "tag": pa.uint64(),
            "address": pa.int64(),
            "length": pa.int64(),
            "key": pa.uint64(),
            "exact": pa.bool_(),
        }
    ),
    "pairs": pa.schema({"left": pa.int64(), "right": pa.int64()}),
    "wanted": pa.schema({"address": pa.int64(), "part": pa.int64()}),
    "shingles": pa.schema(
        {"address": pa.int64(), "doc_id": pa.string(), "set": pa.large_list(pa.uint64())}
    ),
    "stars": pa.schema({"left": pa.int64(), "right": pa.int64()}),
    "similar": pa.schema({"address": pa.int64(), "value": pa.float64()}),
    "members": pa.schema(
        {
            "root": pa.int64(),
            "address": pa.int64(),
            "doc_id": pa.string(),
            "exact": pa.binary(16),
            "earlier": pa.bool_(),
            "first": pa.float64(),
            "second": pa.string(),
            "length": pa.int64(),
            "similar": pa.float64(),
        }
    ),
    "decisions": pa.schema(
        {
            "address": pa.int64(),
            "rule": pa.string(),
            "feature": pa.string(),
            "value": pa.float64(),
            "limit": pa.float64(),
            "duplicate_of": pa.string(),
        }
    ),
    "sources": pa.schema({"source": pa.string(), "rows": pa.int64(), "dropped": pa.int64()}),
    "pieces": pa.schema(
        {
            "hash": pa.uint64(),
            "tag": pa.uint64(),
            "address": pa.int64(),
            "place": pa.int64(),
            "doc_id": pa.string(),
        }
    ),
    "removals": pa.schema({"address": pa.int64(), "place": pa.int64(), "kept_in": pa.string()}),
}
"""What each kind of spill holds."""


def write(
    job: Job, shard: str, kind: str, columns: Mapping[str, object], parts: Integers | None = None
) -> FileEntry:
    """Write rows, each into its partition, in their order; without `parts` all into the first."""
    schema = SCHEMAS[kind]
    table = pa.table({field.name: columns[field.name] for field in schema}, schema=schema)
    count = job.layout.partitions if parts is not None else 1
    bounds = np.array([0, table.num_rows])
    if parts is not None:
        order = np.argsort(parts, kind="stable")
        table = table.take(pa.array(order))
        bounds = np.searchsorted(parts[order], np.arange(count + 1))
    path = job.root / "aside" / f"{kind}-{shard}.{job.attempt}.arrow"
    with storage.durable_file(path) as handle, pa.ipc.new_file(handle, schema) as writer:
        for begin, end in itertools.pairwise(bounds):
            writer.write_batch(_batch(table.slice(begin, end - begin)))
    return describe(job.root, path, handle.written, "aside", shard=kind, rows=table.num_rows)


def paths(job: Job, records: Sequence[ShardRecord], kind: str) -> tuple[str, ...]:
    """Return the spills of one kind among the files of a step."""
    return tuple(
        str(job.root / entry.path)
        for record in records
        for entry in record.files
        if _is_spill(entry) and entry.shard == kind
    )


def read(kind: str, spills: Sequence[str], part: int = 0) -> pa.Table:
    """Return one partition of spills, in the order of the files."""
    batches = []
    for spill in spills:
        with storage.at(spill).open("rb") as handle, pa.ipc.open_file(handle) as reader:
            batches.append(reader.get_batch(part))
    return pa.Table.from_batches(batches, schema=SCHEMAS[kind]).combine_chunks()


def read_whole(kind: str, spill: str) -> pa.Table:
    """Return all partitions of one spill."""
    with storage.at(spill).open("rb") as handle, pa.ipc.open_file(handle) as reader:
        return reader.read_all()


def column(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """Return a column of whole numbers as an array."""
    found: npt.NDArray[np.int64] = table[name].to_numpy()
    return found


def lasting(records: Sequence[ShardRecord]) -> tuple[FileEntry, ...]:
    """Return the files of a step that stay in the artifact."""
    return tuple(e for record in records for e in record.files if not _is_spill(e))


def drop(job: Job, records: Sequence[ShardRecord]) -> None:
    """Delete the spills of steps that nothing reads any more."""
    for record in records:
        for entry in record.files:
            if _is_spill(entry):
                storage.delete(job.root / entry.path)


def _is_spill(entry: FileEntry) -> bool:
    return entry.role == "aside" and entry.path.endswith(".arrow")


def _batch(table: pa.Table) -> pa.RecordBatch:
    table = table.combine_chunks()
    if table.num_rows:
        return table.to_batches()[0]
    return pa.RecordBatch.from_pylist([], schema=table.schema)
