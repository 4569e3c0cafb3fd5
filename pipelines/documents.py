"""Tables of documents on their way through a stage: judged, counted, kept or dropped."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import cpu_limit, schemas
from pipelines.bisection import apart, plain_documents
from pipelines.deaths import InChild
from pipelines.ledger import Change, Count, Ledger
from pipelines.shards import ShardFiles, ShardRecord, read_table, save_record
from pipelines.storage import StorePath
from pipelines.workspace import Workspace


class Judged(NamedTuple):
    """What a pass makes of documents, each on its own: what it says of two tables adds up."""

    kept: pa.Table
    dropped: pa.Table
    """With the columns rule, feature, value and limit; the stage is added by the desk."""
    features: pa.Table | None = None
    aside: pa.Table | None = None
    edited: Mapping[str, Change] = {}
    """The changes of a stage that edits what it keeps, for its ledger."""
    metrics: Mapping[str, float] = {}


Judge = Callable[[pa.Table], Judged]


class Desk(NamedTuple):
    """Where a worker of one attempt puts its shards, and the stage it works for."""

    root: StorePath
    attempt: str
    stage: str

    def record(
        self,
        shard: str,
        entered: pa.Table,
        kept: pa.Table,
        dropped: pa.Table,
        *,
        features: pa.Table | None = None,
        aside: pa.Table | None = None,
        edited: Mapping[str, Change] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> ShardRecord:
        """Write both sides of a unit and return its record, which the caller saves."""
        stage = pa.array([self.stage] * dropped.num_rows, pa.string())
        dropped = dropped.append_column(schemas.DROPPED.field("stage"), stage)
        files = ShardFiles(self.root, shard, self.attempt)
        files.write_parquet(kept, "data")
        files.write_parquet(dropped, "rejects")
        if features is not None:
            files.write_parquet(features, "features")
        if aside is not None:
            files.write_parquet(aside, "aside")
        ledger = document_ledger(entered, kept, dropped, edited or {})
        return ShardRecord(
            shard=shard, files=files.entries, ledger=ledger, metrics=dict(metrics or {})
        )


class DocumentsWorker:
    """Judges one unit of documents; one that the judge fails on, or dies of, is set aside alone."""

    def __init__(
        self,
        desk: Desk,
        factory: Callable[[], Judge],
        cpu_seconds: float = cpu_limit.SECONDS,
    ) -> None:
        """Build the judge; `factory` travels to a process of its own, where one is needed.

        `cpu_seconds` and more for every byte is what it may take for a table: see `cpu_limit`.
        """
        self._desk, self._factory = desk, partial(_Limited, factory, cpu_seconds)
        self._judge = self._factory()

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Read the unit, judge it, write its shard, return the record."""
        return self._with(self._judge, unit)

    def carefully(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Do the same with the judge in a process of its own; documents that crash it are kept."""
        with InChild[pa.Table, Judged](self._factory) as judge:
            return self._with(judge, unit)

    def _with(self, judge: Judge, unit: Mapping[str, Any]) -> ShardRecord:
        documents = read_table(unit["path"])
        judged = self.judged(unit["shard"], documents, judge)
        record = self._desk.record(unit["shard"], documents, **judged._asdict())
        return save_record(self._desk.root, record)

    def judged(self, shard: str, documents: pa.Table, judge: Judge) -> Judged:
        """Return what becomes of the documents of a shard."""
        return judged_apart(documents, judge)


class _Limited:
    """A judge that is allowed so much processor time for a table."""

    def __init__(self, factory: Callable[[], Judge], cpu_seconds: float) -> None:
        self._judge, self._cpu_seconds = factory(), cpu_seconds
        self._is_ready = False

    def __call__(self, documents: pa.Table) -> Judged:
        self._get_ready()
        cpu_limit.begin(documents.nbytes, self._cpu_seconds)
        try:
            return self._judge(documents)
        finally:
            cpu_limit.end()

    def _get_ready(self) -> None:
        """Compile kernels, for minutes perhaps, before a limit counts."""
        if not self._is_ready:
            self._is_ready = True
            with suppress(Exception):  # what is wrong shows on real documents
                self._judge(plain_documents(schemas.DOCUMENT))


def judged_apart(documents: pa.Table, judge: Judge) -> Judged:
    """Return what a judge makes of documents; those it fails on are dropped with their error."""
    parts, failed = apart(documents, judge)
    judged = _joined(parts)
    dropped = pa.concat_tables([judged.dropped, failed], promote_options="default")
    return judged._replace(dropped=dropped)


def _joined(parts: Sequence[Judged]) -> Judged:
    if len(parts) == 1:
        return parts[0]
    edited: dict[str, Change] = {}
    metrics: dict[str, float] = {}
    for part in parts:
        for edit, change in part.edited.items():
            edited[edit] = edited.get(edit, Change()) + change
        for name, value in part.metrics.items():
            metrics[name] = metrics.get(name, 0.0) + value
    return Judged(
        pa.concat_tables(part.kept for part in parts),
        pa.concat_tables(part.dropped for part in parts),
        _stacked(part.features for part in parts),
        _stacked(part.aside for part in parts),
        dict(sorted(edited.items())),
        metrics,
    )


def _stacked(tables: Iterable[pa.Table | None]) -> pa.Table | None:
    given = [table for table in tables if table is not None]
    return pa.concat_tables(given) if given else None


def document_ledger(
    entered: pa.Table, kept: pa.Table, dropped: pa.Table, edited: Mapping[str, Change]
) -> Ledger:
    """Return the books of tables of documents; `dropped` has a column `rule`."""
    by_rule: dict[str, Count] = {}
    if dropped.num_rows:
        sizes = pa.table({"rule": dropped["rule"], "bytes": pc.binary_length(dropped["text"])})
        grouped = sizes.group_by("rule").aggregate([("bytes", "sum"), ("bytes", "count")])
        for row in grouped.sort_by("rule").to_pylist():
            by_rule[row["rule"]] = Count(rows=row["bytes_count"], bytes=row["bytes_sum"])
    return Ledger(
        entered=count_of(entered), kept=count_of(kept), dropped=by_rule, edited=dict(edited)
    )


def count_of(documents: pa.Table) -> Count:
    """Return how many documents a table holds, and how many UTF-8 bytes of text."""
    size = pc.sum(pc.binary_length(documents["text"])).as_py() if documents.num_rows else 0
    return Count(rows=documents.num_rows, bytes=size or 0)


def desk_of(workspace: Workspace) -> Desk:
    """Return the desk of a stage's workers; unlike the workspace, it travels to them."""
    return Desk(workspace.root, workspace.attempt, workspace.stage)
