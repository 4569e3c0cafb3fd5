"""Candidate pairs from buckets, the shingles they need, and their true similarity."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.dedup import spill
from pipelines.dedup.layout import Integers, Job, rows_at, units_at
from pipelines.ledger import Ledger
from pipelines.shards import ShardFiles, ShardRecord, read_table

if TYPE_CHECKING:
    from filters.dedup import ShingleSets

Spills = tuple[str, ...]


def pair(job: Job, shard: str, number: int, sketches: Spills) -> ShardRecord:
    """Find who shares a hash in one partition: copies as stars, near copies as pairs to compare."""
    from filters.dedup import Sketches, exact_pairs, near_pairs, repeated

    table = spill.read("sketches", sketches, number)
    table = table.filter(pa.array(repeated(table["hash"].to_numpy())))
    rows = Sketches(*(table[name].to_numpy() for name in Sketches._fields))
    exact = table["exact"].to_numpy()
    layout = job.layout
    left, right = exact_pairs(rows.rows(exact))
    stars = spill.write(job, shard, "stars", {"left": left, "right": right})
    left, right = near_pairs(rows.rows(~exact))
    new = layout.is_own(left) | layout.is_own(right)  # earlier artifacts are done with each other
    left, right = left[new], right[new]
    parts = layout.part_of(right)
    pairs = spill.write(job, shard, "pairs", {"left": left, "right": right}, parts)
    ends = np.concatenate([left, right])
    wanted = np.unique(np.stack([ends, np.concatenate([parts, parts])]), axis=1)
    needs = {"address": wanted[0], "part": wanted[1]}
    needed = spill.write(job, shard, "wanted", needs, layout.part_of_unit(wanted[0]))
    return ShardRecord(shard=shard, files=(stars, pairs, needed), ledger=Ledger())


def shingle(job: Job, shard: str, number: int, wanted: Spills) -> ShardRecord:
    """Send the shingles of a unit's candidates to the partitions that compare them."""
    table = spill.read("wanted", wanted, number % job.layout.partitions)
    address, part = spill.column(table, "address"), spill.column(table, "part")
    ours = units_at(address) == number
    needs = np.unique(np.stack([address[ours], part[ours]]), axis=1)
    chosen, place = np.unique(needs[0], return_inverse=True)
    if not len(chosen):
        return ShardRecord(shard=shard, files=(), ledger=Ledger())
    documents = read_table(job.layout.units[number].path, ["doc_id", "text"])
    documents = documents.take(pa.array(rows_at(chosen)))
    sets = job.config.minhash().shingle_sets(documents["text"])
    lists = pa.LargeListArray.from_arrays(pa.array(sets.offsets), pa.array(sets.values))
    at = pa.array(place.reshape(-1))
    columns = {"address": needs[0], "doc_id": documents["doc_id"].take(at), "set": lists.take(at)}
    entry = spill.write(job, shard, "shingles", columns, needs[1])
    return ShardRecord(shard=shard, files=(entry,), ledger=Ledger())


def verify(job: Job, shard: str, number: int, pairs: Spills, shingles: Spills) -> ShardRecord:
    """Count the overlap of each pair of a partition; keep the evidence, connect the copies."""
    from filters.dedup import ShingleSets, containment, jaccard, stars

    left, right, bands = _unique_pairs(spill.read("pairs", pairs, number))
    table = spill.read("shingles", shingles, number).sort_by("address")
    address = spill.column(table, "address")
    sets = ShingleSets.concatenated([_sets(chunk) for chunk in table["set"].chunks])
    at_left, at_right = np.searchsorted(address, left), np.searchsorted(address, right)
    counts = sets.overlaps(at_left, at_right)
    measured = {"jaccard": jaccard(*counts), "containment": containment(*counts)}
    value = measured[job.config.verify]
    copies = value >= job.config.threshold
    evidence = pa.table(
        {
            "left": table["doc_id"].take(pa.array(at_left)),
            "right": table["doc_id"].take(pa.array(at_right)),
            **measured,
            "bands": bands,
            "copies": copies,
        }
    ).sort_by([("left", "ascending"), ("right", "ascending")])
    files = ShardFiles(job.root, shard, job.attempt)
    files.write_parquet(evidence, "aside")
    member, root = stars(left[copies], right[copies])
    joined = spill.write(job, shard, "stars", {"left": member, "right": root})
    ends = np.concatenate([left[copies], right[copies]])
    similar = {"address": ends, "value": np.concatenate([value[copies], value[copies]])}
    marks = spill.write(job, shard, "similar", similar, job.layout.part_of_unit(ends))
    metrics = {"pairs_compared": float(len(left)), "pairs_confirmed": float(copies.sum())}
    entries = (*files.entries, joined, marks)
    return ShardRecord(shard=shard, files=entries, ledger=Ledger(), metrics=metrics)


def merge(job: Job, shard: str, number: int, groups: tuple[Spills, ...]) -> ShardRecord:
    """Put cluster edges of several files together: again a star for each cluster."""
    from filters.dedup import stars

    tables = [spill.read_whole("stars", path) for path in groups[number]]
    table = pa.concat_tables(tables)
    member, root = stars(spill.column(table, "left"), spill.column(table, "right"))
    columns = {"left": member, "right": root}
    entry = spill.write(job, shard, "stars", columns, job.layout.part_of_unit(member))
    return ShardRecord(shard=shard, files=(entry,), ledger=Ledger())


def _unique_pairs(table: pa.Table) -> tuple[Integers, Integers, Integers]:
    """Return each pair once, and in how many bands it was found."""
    grouped = table.group_by(["left", "right"]).aggregate([([], "count_all")])
    grouped = grouped.sort_by([("left", "ascending"), ("right", "ascending")])
    return (
        spill.column(grouped, "left"),
        spill.column(grouped, "right"),
        spill.column(grouped, "count_all"),
    )


def _sets(chunk: pa.Array) -> "ShingleSets":
    from filters.dedup import ShingleSets

    if not len(chunk):
        return ShingleSets(np.empty(0, np.uint64), np.zeros(1, np.int64))
    offsets = chunk.offsets.to_numpy()
    values = chunk.values.to_numpy()
    return ShingleSets(values[offsets[0] : offsets[-1]], offsets - offsets[0])
