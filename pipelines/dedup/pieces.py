"""Paragraphs and lines that stand in several documents: kept in the first, taken out of others.

The first is the one of the smallest doc_id, after all of earlier artifacts. A piece that a document
says twice is left to it: repetition inside a document is the filter's business.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.dedup import spill
from pipelines.dedup.layout import Job, addresses, rows_at, units_at
from pipelines.dedup.splitting import publish, staying
from pipelines.ledger import Change, Ledger
from pipelines.shards import ShardRecord, read_table

Spills = tuple[str, ...]


def hash_pieces(job: Job, shard: str, number: int) -> ShardRecord:
    """Hash the pieces of a unit's documents and route them to partitions."""
    documents = read_table(job.layout.units[number].path, ["doc_id", "text"])
    pieces = job.config.pieces()
    rows: list[int] = []
    places: list[int] = []
    hashes = bytearray()
    for row, text in enumerate(documents["text"].to_pylist()):
        for place, digest in pieces.hashes(text.encode()):
            rows.append(row)
            places.append(place)
            hashes += digest
    halves = np.frombuffer(bytes(hashes), dtype=np.uint64).reshape(-1, 2)
    at = np.array(rows, dtype=np.int64)
    columns = {
        "hash": halves[:, 0],
        "tag": halves[:, 1],
        "address": addresses(number, documents.num_rows)[at],
        "place": np.array(places, dtype=np.int64),
        "doc_id": documents["doc_id"].take(pa.array(at)),
    }
    parts = (halves[:, 0] % np.uint64(job.layout.partitions)).astype(np.int64)
    entry = spill.write(job, shard, "pieces", columns, parts)
    return ShardRecord(shard=shard, files=(entry,), ledger=Ledger())


def find_repeats(job: Job, shard: str, number: int, pieces: Spills) -> ShardRecord:
    """Find which pieces of a partition stand in an earlier document."""
    from filters.dedup import repeated

    table = spill.read("pieces", pieces, number)
    table = table.filter(pa.array(repeated(table["hash"].to_numpy())))
    earlier = ~job.layout.is_own(spill.column(table, "address"))
    table = table.append_column("earlier", pa.array(earlier)).sort_by(
        [
            ("hash", "ascending"),
            ("tag", "ascending"),
            ("earlier", "descending"),
            ("doc_id", "ascending"),
            ("address", "ascending"),
            ("place", "ascending"),
        ]
    )
    new = np.ones(table.num_rows, dtype=np.bool_)
    hashes, tags = table["hash"].to_numpy(), table["tag"].to_numpy()
    new[1:] = (hashes[1:] != hashes[:-1]) | (tags[1:] != tags[:-1])
    first = np.flatnonzero(new)[np.cumsum(new) - 1]
    address = spill.column(table, "address")
    again = (address != address[first]) & ~table["earlier"].to_numpy()
    columns = {
        "address": address[again],
        "place": spill.column(table, "place")[again],
        "kept_in": table["doc_id"].take(pa.array(first[again])),
    }
    parts = job.layout.part_of_unit(columns["address"])
    entry = spill.write(job, shard, "removals", columns, parts)
    return ShardRecord(shard=shard, files=(entry,), ledger=Ledger())


def edit(job: Job, shard: str, number: int, removals: Spills) -> ShardRecord:
    """Take repeated pieces out of a unit's documents; those left empty are dropped whole."""
    unit, rule = job.layout.units[number], f"repeated_{job.config.level}"
    documents = read_table(unit.path)
    found = spill.read("removals", removals, number % job.layout.partitions)
    found = found.filter(pa.array(units_at(spill.column(found, "address")) == number))
    found = found.sort_by([("address", "ascending"), ("place", "ascending")])
    texts = documents["text"].to_pylist()
    evidence, emptied, change = _taken_out(job, documents["doc_id"].to_pylist(), texts, found)
    at = documents.column_names.index("text")
    rewritten = documents.set_column(
        at, documents.schema.field("text"), pa.array(texts, documents.schema.field("text").type)
    )
    rows = np.array(sorted(emptied), dtype=np.int64)
    dropped = documents.take(pa.array(rows))
    verdict: dict[str, pa.Array] = {
        "rule": pa.array([f"{rule}s_only"] * len(rows), pa.string()),
        "feature": pa.array(["bytes_left"] * len(rows), pa.string()),
        "value": pa.array([0.0] * len(rows), pa.float64()),
        "limit": pa.array([1.0] * len(rows), pa.float64()),
        "duplicate_of": pa.array([emptied[row] for row in rows.tolist()], pa.string()),
    }
    for name, column in verdict.items():
        dropped = dropped.append_column(name, column)
    kept = rewritten.filter(pa.array(staying(documents.num_rows, rows)))
    edited = {f"dedup.{rule}": change} if change.rows else {}
    tables = (documents, kept, dropped)
    record = publish(job, shard, number, tables, aside=evidence, edited=edited)
    metrics = {"pieces_removed": float(evidence.num_rows)}
    return record.model_copy(update={"metrics": metrics})


def _taken_out(
    job: Job, doc_ids: list[str], texts: list[str], found: pa.Table
) -> tuple[pa.Table, dict[int, str], Change]:
    """Edit `texts` in place; return the evidence, who is left empty (and why), what changed."""
    pieces = job.config.pieces()
    by_row: dict[int, dict[int, str]] = {}
    rows = rows_at(spill.column(found, "address")).tolist()
    for row, place, first in zip(
        rows, found["place"].to_pylist(), found["kept_in"].to_pylist(), strict=True
    ):
        by_row.setdefault(row, {})[place] = first
    evidence: list[dict[str, Any]] = []
    emptied: dict[int, str] = {}
    edited = cut = 0
    for row, places in by_row.items():
        before = texts[row].encode()
        after, removed = pieces.without(before, places.keys())
        for place, begin, end in removed:
            piece = {"doc_id": doc_ids[row], "place": place, "begin": begin, "end": end}
            text = before[begin:end].decode()
            evidence.append({**piece, "kept_in": places[place], "text": text})
        if after.strip():
            texts[row] = after.decode()
            edited += 1
            cut += len(before) - len(after)
        else:
            emptied[row] = places[min(places)]
    return (
        pa.Table.from_pylist(evidence, schema=_EVIDENCE),
        emptied,
        Change(rows=edited, removed=cut),
    )


_EVIDENCE = pa.schema(
    {
        "doc_id": pa.string(),
        "place": pa.int64(),
        "begin": pa.int64(),
        "end": pa.int64(),
        "kept_in": pa.string(),
        "text": pa.large_string(),
    }
)
