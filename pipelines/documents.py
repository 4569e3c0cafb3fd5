"""Tables of documents on their way through a stage: counted, and split into kept and dropped."""

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import schemas
from pipelines.ledger import Change, Count, Ledger
from pipelines.shards import ShardFiles, ShardRecord, save_record
from pipelines.storage import StorePath
from pipelines.workspace import Workspace


class Desk(NamedTuple):
    """Where a worker of one attempt puts its shards, and the stage it works for."""

    root: StorePath
    attempt: str
    stage: str

    def publish(
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
        """Write both sides of a unit and return its record.

        `dropped` has the columns rule, feature, value and limit; the stage is added here.
        `edited` are the changes of a stage that edits what it keeps, for its ledger.
        """
        record = self.record(
            shard,
            entered,
            kept,
            dropped,
            features=features,
            aside=aside,
            edited=edited,
            metrics=metrics,
        )
        return save_record(self.root, record)

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
