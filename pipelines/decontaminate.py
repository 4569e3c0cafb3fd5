"""Drop documents that hold benchmark items; a report leads from each hit to its item."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from filters.contamination import FOUND, BenchmarkIndex, Item
from filters.grams import LEAST_DIFFERENT, Grams
from pipelines import schemas
from pipelines.benchmarks import BenchmarkFiles, Benchmarks, read_benchmarks
from pipelines.documents import DocumentsWorker, Judged, desk_of
from pipelines.extract import listed
from pipelines.shards import ShardFiles, read_table
from pipelines.units import run_units, stage_output, units_of
from pipelines.workspace import StageOutput, Workspace

REPORT = "contamination.json"
_EVIDENCE = (
    "benchmark",
    "benchmark_item",
    "benchmark_field",
    "matched",
    "matched_begin",
    "matched_end",
)


class DecontaminateConfig(BaseModel):
    """Which benchmarks, and how much of an item makes a document contaminated."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    benchmarks: Mapping[str, BenchmarkFiles] = Field(min_length=1)
    """Name -> files of the slot `benchmarks` and their fields."""
    limit: float = Field(default=0.5, gt=0, le=1)
    """Share of a field's n-grams from which on its document is dropped (0.5: Marin)."""
    ngram: int = Field(default=13, ge=LEAST_DIFFERENT)
    """Tokens a gram (13: Brown et al. 2020, arXiv 2005.14165, appendix C)."""
    unit: Literal["words", "characters"] = "words"
    """What a token is; under `words` a Han, kana or Thai character is one. For alphabets by
    `characters` take a larger `ngram`, 50 or so."""
    shortest: int = Field(default=24, ge=1)
    """Bytes of letters from which on a field of less than `ngram` tokens is looked for."""
    short_items: Literal["line", "anywhere"] = "line"
    """Where such a field counts: between line ends or punctuation, or inside of a line too."""

    def grams(self) -> Grams:
        """Return what a gram is."""
        return Grams(self.ngram, self.unit, self.shortest, self.short_items == "anywhere")


class Decontaminator:
    """Judges documents; the index is built once a process from the items beside the shards."""

    def __init__(self, items: str, config: DecontaminateConfig) -> None:
        rows = read_table(items).to_pylist()
        self._limit = config.limit
        self._index = BenchmarkIndex([Item(**row) for row in rows], config.grams())

    def __call__(self, documents: pa.Table) -> Judged:
        """Return both sides and, aside, the hits."""
        found = self._index.find(documents["text"])
        kept, dropped = split(documents, found, self._limit)
        hits = found.add_column(0, "doc_id", documents["doc_id"].take(found["row"]))
        contaminates = pc.greater_equal(found["value"], self._limit)
        hits = hits.append_column("contaminates", contaminates).drop_columns(["row"])
        return Judged(kept, dropped, aside=hits)


def split(documents: pa.Table, found: pa.Table, limit: float) -> tuple[pa.Table, pa.Table]:
    """Return the clean documents, and the others with their greatest overlap as the reason.

    `found` is FOUND: by row, the greatest value of a row first.
    """
    rows = found["row"].to_pylist()
    values = found["value"].to_pylist()
    reasons: dict[int, int] = {}
    for at, (row, value) in enumerate(zip(rows, values, strict=True)):
        if value >= limit:
            reasons.setdefault(row, at)
    is_dropped = pa.array([row in reasons for row in range(documents.num_rows)], pa.bool_())
    dropped = documents.filter(is_dropped)
    reason = found.take(pa.array([reasons[row] for row in sorted(reasons)], pa.int64()))
    rule = pa.array(["contaminated"] * dropped.num_rows, pa.string())
    dropped = dropped.append_column("rule", rule)
    dropped = dropped.append_column("feature", reason["feature"])
    dropped = dropped.append_column("value", reason["value"])
    dropped = dropped.append_column("limit", pa.array([limit] * dropped.num_rows, pa.float64()))
    for name in _EVIDENCE:
        dropped = dropped.append_column(FOUND.field(name), reason[name])
    return documents.filter(pc.invert(is_dropped)), dropped


def run(workspace: Workspace, config: DecontaminateConfig) -> StageOutput:
    """Decontaminate the slot `documents` of the items in the slot `benchmarks`.

    Beside the documents lie the items, every hit (also those below the limit) and the report; they
    are no part of the digest, so that a benchmark without a hit changes nothing downstream.

    Raises:
        InputError: see read_benchmarks; also where nothing at all can be looked for.
    """
    read = read_benchmarks(listed(workspace.input("benchmarks")), config.benchmarks)
    files = ShardFiles(workspace.root, "benchmark-items", workspace.attempt)
    names = pa.schema([pa.field(name, pa.large_string()) for name in Item._fields])
    rows = [item._asdict() for item in read.items]
    files.write_parquet(pa.Table.from_pylist(rows, schema=names), "aside")
    path = str(workspace.root / files.entries[0].path)
    factory = partial(DocumentsWorker, desk_of(workspace), partial(Decontaminator, path, config))
    records = run_units(workspace, units_of(workspace.input("documents")), factory)
    entries = [entry for record in records for entry in record.files if entry.role == "aside"]
    hits = (read_table(workspace.root / entry.path) for entry in entries)
    index = BenchmarkIndex(read.items, config.grams())
    told = report(read, index, hits, config)
    content = json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True).encode()
    files.write_bytes(content, "aside", name=REPORT)
    return stage_output(
        records, schema=schemas.DOCUMENT.to_string(), info=told, extra_files=files.entries
    )


def report(
    read: Benchmarks, index: BenchmarkIndex, hits: Iterable[pa.Table], config: DecontaminateConfig
) -> dict[str, Any]:
    """Return by benchmark what was looked for and what was found, as JSON values."""
    items = Counter(name for name, _ in {(item.benchmark, item.item) for item in read.items})
    touched: dict[tuple[str, str, bool], set[str]] = {}
    for table in hits:
        columns = (table[n].to_pylist() for n in ("benchmark", "benchmark_item", "doc_id"))
        flags = table["contaminates"].to_pylist()
        for name, item, doc_id, contaminates in zip(*columns, flags, strict=True):
            for kind, key in (("items", item), ("documents", doc_id)):
                touched.setdefault((name, kind, False), set()).add(key)
                if contaminates:
                    touched.setdefault((name, kind, True), set()).add(key)

    def count(name: str, kind: str, at_limit: bool) -> int:
        return len(touched.get((name, kind, at_limit), ()))

    return {
        "limit": config.limit,
        "ngram": config.ngram,
        "unit": config.unit,
        "benchmarks": {
            name: {
                "records": read.records[name],
                "items": items[name],
                "fields_searched": index.searched[name],
                "fields_left_out": {r: n for (b, r), n in index.left_out.items() if b == name},
                "fields_missing": {f: n for f, n in read.lacking[name].items() if n},
                "items_touched": count(name, "items", False),
                "items_contaminating": count(name, "items", True),
                "documents_touched": count(name, "documents", False),
                "documents_dropped": count(name, "documents", True),
            }
            for name in config.benchmarks
        },
    }


def report_table(told: Mapping[str, Any]) -> str:
    """Return a report as a short table: items and documents with any gram, and at the limit."""
    lines = [
        f"{'BENCHMARK':<24}{'items':>8}{'touched':>9}{'at limit':>10}{'docs':>8}{'dropped':>9}"
    ]
    for name, row in told["benchmarks"].items():
        lines.append(
            f"{name[:23]:<24}{row['items']:>8,}{row['items_touched']:>9,}"
            f"{row['items_contaminating']:>10,}{row['documents_touched']:>8,}"
            f"{row['documents_dropped']:>9,}"
        )
        for what in ("fields_left_out", "fields_missing"):
            for reason, count in row[what].items():
                lines.append(f"    {what.replace('_', ' ')}: {count:,} {reason}")
    return "\n".join(lines)
