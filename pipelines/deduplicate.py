"""Keep one of each document: exact copies by hash, near copies by MinHash and true Jaccard.

Two passes over units: the first writes narrow signatures beside the text, the second splits each
unit by the decisions. Between them the driver holds signatures only (about 140 bytes a document)
and reads the text of candidates to verify them.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from pipelines import schemas, storage
from pipelines.documents import Desk, desk_of
from pipelines.ledger import Ledger
from pipelines.shards import ShardFiles, ShardRecord, read_table, save_record
from pipelines.units import Unit, run_units, stage_output, units_of
from pipelines.workspace import StageOutput, Workspace


class DedupConfig(BaseModel):
    """What counts as a copy."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: Literal["exact", "minhash"] = "minhash"
    """`minhash` removes exact copies as well."""
    threshold: float = Field(default=0.8, gt=0, le=1)
    """True Jaccard similarity of word shingles from which on two documents are copies."""
    bands: int = Field(default=14, ge=1)
    rows: int = Field(default=8, ge=1)
    shingle: int = Field(default=5, ge=1)
    """Words a shingle; 14 x 8 and 5 are FineWeb's (arXiv 2406.17557, 3.4)."""

    def minhash(self) -> "MinHash":
        """Return the hash family that finds candidates and verifies them."""
        from filters.dedup import MinHash

        return MinHash(bands=self.bands, rows=self.rows, shingle=self.shingle)


if TYPE_CHECKING:
    from filters.dedup import MinHash

TextsOf = Callable[[set[str]], Mapping[str, str]]
"""Reads the text of chosen documents."""

DECISION = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("feature", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("limit", pa.float64()),
        pa.field("duplicate_of", pa.string(), nullable=False),
    ]
)


class SignatureWorker:
    """Writes the exact hash, the band hashes and the length of each document of a unit."""

    def __init__(self, root: str, attempt: str, config: DedupConfig) -> None:
        self._root, self._attempt, self._config = storage.at(root), attempt, config

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Read the unit's text once, write the narrow table, return the record."""
        from filters.dedup import exact_keys

        documents = read_table(unit["path"], ["doc_id", "text"])
        columns = {
            "doc_id": documents["doc_id"],
            "length": pc.binary_length(documents["text"]),
            "exact": exact_keys(documents["text"]),
        }
        if self._config.method == "minhash":
            family = self._config.minhash()
            bands = family.band_hashes(family.signatures(documents["text"]))
            flat = pa.array(bands.reshape(-1))
            columns["bands"] = pa.FixedSizeListArray.from_arrays(flat, bands.shape[1])
        files = ShardFiles(self._root, unit["shard"], self._attempt)
        files.write_parquet(pa.table(columns), "features")
        record = ShardRecord(shard=unit["shard"], files=files.entries, ledger=Ledger())
        return save_record(self._root, record)


class SplitWorker:
    """Splits a unit into kept and dropped documents by the decisions about it."""

    def __init__(self, desk: Desk, decisions: str) -> None:
        self._desk = desk
        self._decisions = read_table(decisions)

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Read the unit, write both sides, return the record."""
        documents = read_table(unit["path"])
        is_copy = pc.is_in(documents["doc_id"], self._decisions["doc_id"].combine_chunks())
        kept = documents.filter(pc.invert(is_copy))
        dropped = documents.filter(is_copy)
        at = pc.index_in(dropped["doc_id"], self._decisions["doc_id"].combine_chunks())
        reasons = self._decisions.drop_columns(["doc_id"]).take(at)
        for name in reasons.column_names:
            dropped = dropped.append_column(reasons.schema.field(name), reasons[name])
        return self._desk.publish(unit["shard"], documents, kept, dropped)


def run(workspace: Workspace, config: DedupConfig) -> StageOutput:
    """Deduplicate the slot `documents`; dropped documents name what they are a copy of."""
    documents = workspace.input("documents")
    root = str(workspace.root)
    units = units_of(documents)
    signing = [unit.model_copy(update={"shard": f"signatures-{unit.shard}"}) for unit in units]
    signed = run_units(
        workspace, signing, partial(SignatureWorker, root, workspace.attempt, config)
    )
    table = pa.concat_tables(
        read_table(workspace.root / entry.path) for record in signed for entry in record.files
    )
    decisions = decide(table, config, partial(_texts, units))
    files = ShardFiles(workspace.root, "decisions", workspace.attempt)
    files.write_parquet(decisions, "aside")
    path = str(workspace.root / files.entries[0].path)
    split = partial(SplitWorker, desk_of(workspace), path)
    records = run_units(workspace, units, split)
    narrow = tuple(entry for record in signed for entry in record.files)
    return stage_output(
        records, schema=schemas.DOCUMENT.to_string(), extra_files=(*narrow, *files.entries)
    )


def decide(signatures: pa.Table, config: DedupConfig, texts_of: TextsOf) -> pa.Table:
    """Return a DECISION row for every document to drop.

    The longest document of a cluster stays, on a tie the one with the smallest doc_id, so the
    result does not depend on the order of the input. Every dropped document names the one that
    stays and, for near copies, the true Jaccard similarity with a member of its cluster.
    """
    found = _Signed.of(signatures)
    rows = _exact(found, signatures["exact"].combine_chunks())
    if config.method == "minhash":
        gone = {row["doc_id"] for row in rows}
        alive = np.array([doc_id not in gone for doc_id in found.doc_ids], dtype=bool)
        width = signatures["bands"].type.list_size
        bands = signatures["bands"].combine_chunks().flatten().to_numpy().reshape(-1, width)
        pairs = candidate_pairs(bands, alive, found.order)
        rows += _near(found, pairs, config, texts_of)
    return pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["doc_id"])), schema=DECISION)


@dataclass(frozen=True)
class _Signed:
    """All documents of a stage: `order[row]` is smaller the better a document is to keep."""

    doc_ids: list[str]
    order: np.ndarray

    @classmethod
    def of(cls, signatures: pa.Table) -> "_Signed":
        doc_ids = signatures["doc_id"].to_pylist()
        lengths = signatures["length"].to_numpy()
        rank = sorted(range(len(doc_ids)), key=lambda row: (-int(lengths[row]), doc_ids[row]))
        order = np.empty(len(rank), dtype=np.int64)
        order[rank] = np.arange(len(rank))
        return cls(doc_ids, order)


def _exact(found: _Signed, hashes: pa.Array) -> list[dict[str, Any]]:
    codes = hashes.dictionary_encode().indices.to_numpy()
    best: dict[int, int] = {}
    for row in np.argsort(found.order):
        best.setdefault(int(codes[row]), int(row))
    copies = np.bincount(codes) if len(codes) else np.empty(0, dtype=np.int64)
    return [
        {
            "doc_id": found.doc_ids[row],
            "rule": "duplicate_exact",
            "feature": "copies",
            "value": float(copies[code]),
            "limit": 1.0,
            "duplicate_of": found.doc_ids[best[int(code)]],
        }
        for row, code in enumerate(codes)
        if best[int(code)] != row
    ]


def _near(
    found: _Signed, pairs: list[tuple[int, int]], config: DedupConfig, texts_of: TextsOf
) -> list[dict[str, Any]]:
    from filters.dedup import UnionFind

    family, doc_ids = config.minhash(), found.doc_ids
    texts = texts_of({doc_ids[row] for pair in pairs for row in pair})
    clusters = UnionFind[int]()
    similarity: dict[int, float] = {}
    for left, right in pairs:
        jaccard = family.jaccard(texts[doc_ids[left]], texts[doc_ids[right]])
        if jaccard >= config.threshold:
            clusters.union(left, right)
            for row in (left, right):
                similarity[row] = max(similarity.get(row, 0.0), jaccard)
    best: dict[int, int] = {}
    for row in sorted(similarity, key=lambda row: int(found.order[row])):
        best.setdefault(clusters.find(row), row)
    return [
        {
            "doc_id": doc_ids[row],
            "rule": "duplicate_minhash",
            "feature": "jaccard",
            "value": similarity[row],
            "limit": config.threshold,
            "duplicate_of": doc_ids[best[clusters.find(row)]],
        }
        for row in similarity
        if best[clusters.find(row)] != row
    ]


def candidate_pairs(
    bands: np.ndarray, alive: np.ndarray, order: np.ndarray
) -> list[tuple[int, int]]:
    """Return pairs of rows that share a band: each with the best of its bucket and its neighbour.

    A bucket of n rows gives at most 2n - 3 pairs, not n^2: clusters are found through chains.
    """
    rows = np.flatnonzero(alive)
    rows = rows[np.argsort(order[rows], kind="stable")]
    pairs: set[tuple[int, int]] = set()
    for band in range(bands.shape[1]):
        keys = bands[rows, band]
        by_key = np.argsort(keys, kind="stable")
        sorted_rows, sorted_keys = rows[by_key], keys[by_key]
        starts = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]])
        for start, end in zip(starts, np.r_[starts[1:], len(sorted_rows)], strict=True):
            if end - start < 2:
                continue
            bucket = sorted_rows[start:end].tolist()
            pairs.update((bucket[0], row) for row in bucket[1:])
            pairs.update(itertools.pairwise(bucket))
    return sorted(pairs)


def _texts(units: list[Unit], doc_ids: set[str]) -> Mapping[str, str]:
    """Read the text of the candidates, unit by unit."""
    wanted = pa.array(sorted(doc_ids), pa.string())
    found: dict[str, str] = {}
    for unit in units if doc_ids else []:
        table = read_table(unit.path, ["doc_id", "text"])
        hits = table.filter(pc.is_in(table["doc_id"], wanted))
        found.update(zip(hits["doc_id"].to_pylist(), hits["text"].to_pylist(), strict=True))
    return found
