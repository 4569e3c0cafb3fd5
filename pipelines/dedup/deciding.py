"""Which documents of each cluster are dropped, and as copies of what."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedup import spill
from pipelines.dedup.keeping import rank
from pipelines.dedup.layout import Integers, Job, rows_at, units_at
from pipelines.ledger import Ledger
from pipelines.shards import ShardFiles, ShardRecord, read_table

Spills = tuple[str, ...]
_ORDER = [
    ("root", "ascending"),
    ("earlier", "descending"),
    ("first", "ascending"),
    ("second", "ascending"),
    ("length", "descending"),
    ("doc_id", "ascending"),
    ("address", "ascending"),
]
_LARGEST = 20
_EXAMPLES = 5


def describe_members(
    job: Job, shard: str, number: int, stars: Spills, similar: Spills
) -> ShardRecord:
    """Send what decides about a unit's members of clusters to the partition of their cluster."""
    from filters.dedup import exact_keys

    part = number % job.layout.partitions
    table = spill.read("stars", stars, part)
    ours = units_at(spill.column(table, "left")) == number
    address = spill.column(table, "left")[ours]
    root = spill.column(table, "right")[ours]
    if not len(address):
        return ShardRecord(shard=shard, files=(), ledger=Ledger())
    documents = read_table(job.layout.units[number].path).take(pa.array(rows_at(address)))
    first, second = rank(documents, job.config)
    columns = {
        "root": root,
        "address": address,
        "doc_id": documents["doc_id"],
        "exact": exact_keys(documents["text"]),
        "earlier": ~job.layout.is_own(address),
        "first": first,
        "second": second,
        "length": pc.binary_length(documents["text"]).cast(pa.int64()),
        "similar": _best_similarity(spill.read("similar", similar, part), address),
    }
    entry = spill.write(job, shard, "members", columns, job.layout.part_of(root))
    return ShardRecord(shard=shard, files=(entry,), ledger=Ledger())


def decide(job: Job, shard: str, number: int, members: Spills) -> ShardRecord:
    """Choose what stays of each cluster of a partition; earlier artifacts' documents always do."""
    table = spill.read("members", members, number).sort_by(_ORDER)
    roots = spill.column(table, "root")
    best, sizes = _groups(roots)
    codes = table["exact"].combine_chunks().dictionary_encode().indices.to_numpy()
    best_copy, copies = _groups(best * len(best) + codes)
    place = np.arange(table.num_rows)
    is_copy = best_copy < place
    earlier = table["earlier"].to_numpy()
    lost = (best < place) & ~earlier
    similar = table["similar"].to_numpy()
    name, limit = job.config.verify, job.config.threshold
    columns: dict[str, Any] = {
        "address": spill.column(table, "address")[lost],
        "rule": np.where(is_copy, "duplicate_exact", "duplicate_minhash")[lost].tolist(),
        "feature": np.where(is_copy, "copies", name)[lost].tolist(),
        "value": np.where(is_copy, copies.astype(np.float64), similar)[lost],
        "limit": np.where(is_copy, 1.0, limit)[lost],
        "duplicate_of": table["doc_id"].take(pa.array(best[lost])),
    }
    parts = job.layout.part_of_unit(columns["address"])
    entry = spill.write(job, shard, "decisions", columns, parts)
    files = ShardFiles(job.root, shard, job.attempt)
    files.write_parquet(_largest(table, best, sizes), "aside")
    clusters = float(np.count_nonzero(best == place)) if len(place) else 0.0
    return ShardRecord(
        shard=shard, files=(*files.entries, entry), ledger=Ledger(), metrics={"clusters": clusters}
    )


def _groups(names: Integers) -> tuple[Integers, Integers]:
    """Return for each row the first row of its group and the size of the group."""
    _, begin, at, sizes = np.unique(
        names, return_index=True, return_inverse=True, return_counts=True
    )
    return begin[at.reshape(-1)], sizes[at.reshape(-1)]


def _largest(table: pa.Table, best: Integers, sizes: Integers) -> pa.Table:
    """Return the largest clusters of a partition: what stays, the size, ids of some that go."""
    firsts = np.flatnonzero(best == np.arange(len(best)))
    ids = table["doc_id"]
    clusters = pa.table(
        {
            "kept": ids.take(pa.array(firsts)),
            "size": sizes[firsts],
            "begin": firsts,
        }
    ).sort_by([("size", "descending"), ("kept", "ascending")])[:_LARGEST]
    examples = [
        ids[row["begin"] + 1 : row["begin"] + min(row["size"], _EXAMPLES + 1)].to_pylist()
        for row in clusters.to_pylist()
    ]
    return clusters.drop_columns("begin").append_column(
        "examples", pa.array(examples, pa.list_(pa.string()))
    )


def _best_similarity(similar: pa.Table, address: Integers) -> pa.Array:
    best = similar.group_by("address").aggregate([("value", "max")])
    at = pc.index_in(pa.array(address), best["address"].combine_chunks())
    return best["value_max"].take(at)
