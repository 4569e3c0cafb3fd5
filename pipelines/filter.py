"""Keep the documents worth reading: language, then rules over statistics computed once."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from pipelines import schemas
from pipelines.ledger import Count, Ledger
from pipelines.shards import ShardFiles, ShardRecord, save_record
from pipelines.units import run_units, stage_output, units_of
from pipelines.workspace import StageOutput, Workspace


class FilterConfig(BaseModel):
    """What a document must be to stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rules: tuple[str, ...] = ("gopher_repetition", "gopher")
    """Rule sets in the order that assigns reasons (filters/rule_sets.py)."""
    languages: tuple[str, ...] = ()
    """Allowed ISO 639 codes as fastText's lid.176 writes them; empty: all."""
    min_language_score: float = Field(default=0.65, ge=0, le=1)
    """FineWeb's threshold (arXiv 2406.17557, 3.3)."""
    limits: Mapping[str, float] = {}
    """Limits that replace a rule set's own: {rule: limit}."""
    words: Literal["unicode"] = "unicode"
    """What a word is; part of every threshold."""


class FilterWorker:
    """Judges one unit: kept documents, dropped documents with their verdicts, the statistics."""

    def __init__(self, root: str, attempt: str, stage: str, config: FilterConfig) -> None:
        from filters import RuleSet
        from filters.language import LanguageFilter, LanguageIdentifier

        self._root, self._attempt, self._stage = Path(root), attempt, stage
        self._words = config.words
        self._language = LanguageFilter(
            LanguageIdentifier.bundled(), config.languages, config.min_language_score
        )
        text_rules = RuleSet.combined(config.rules, config.words, config.limits)
        self._rules = RuleSet(
            f"language+{text_rules.name}",
            (*self._language.rules.rules, *text_rules.rules),
            config.words,
        )

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Read the unit, judge it, write its shard, return the record."""
        documents = pq.read_table(unit["path"], partitioning=None)
        kept, dropped, statistics = self._judge(documents)
        files = ShardFiles(self._root, unit["shard"], self._attempt)
        files.write_parquet(kept, "data")
        files.write_parquet(dropped, "rejects")
        files.write_parquet(statistics, "features")
        record = ShardRecord(
            shard=unit["shard"],
            files=files.entries,
            ledger=document_ledger(documents, kept, dropped),
        )
        return save_record(self._root, record)

    def _judge(self, documents: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Return kept, dropped and the statistics of all; a statistic is computed once."""
        from filters import features
        from filters.rules import split

        language = self._language.features(documents["text"])
        statistics = features.compute(documents["text"], self._words)
        for name in language.column_names:
            statistics = statistics.append_column(name, language[name])
        for name in ("language", "language_score"):
            at = documents.column_names.index(name)
            documents = documents.set_column(at, schemas.DOCUMENT.field(name), language[name])
        kept, dropped = split(documents, self._rules.verdicts(statistics))
        dropped = dropped.append_column(
            schemas.DROPPED.field("stage"), pa.array([self._stage] * dropped.num_rows, pa.string())
        )
        return kept, dropped, statistics.add_column(0, "doc_id", documents["doc_id"])


def document_ledger(entered: pa.Table, kept: pa.Table, dropped: pa.Table) -> Ledger:
    """Return the books of tables of documents; `dropped` has a column `rule`."""
    by_rule: dict[str, Count] = {}
    if dropped.num_rows:
        sizes = pa.table({"rule": dropped["rule"], "bytes": pc.binary_length(dropped["text"])})
        grouped = sizes.group_by("rule").aggregate([("bytes", "sum"), ("bytes", "count")])
        for row in grouped.sort_by("rule").to_pylist():
            by_rule[row["rule"]] = Count(rows=row["bytes_count"], bytes=row["bytes_sum"])
    return Ledger(entered=count_of(entered), kept=count_of(kept), dropped=by_rule)


def count_of(documents: pa.Table) -> Count:
    """Return how many documents a table holds, and how many UTF-8 bytes of text."""
    size = pc.sum(pc.binary_length(documents["text"])).as_py() if documents.num_rows else 0
    return Count(rows=documents.num_rows, bytes=size or 0)


def run(workspace: Workspace, config: FilterConfig) -> StageOutput:
    """Filter every unit of the slot `documents`; see StageOutput for what comes back."""
    factory = partial(FilterWorker, str(workspace.root), workspace.attempt, workspace.stage, config)
    records = run_units(workspace, units_of(workspace.input("documents")), factory)
    return stage_output(records, schema=schemas.DOCUMENT.to_string())
