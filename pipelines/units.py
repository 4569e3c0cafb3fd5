"""Per-document stages as units: each worker reads its unit, writes its shards, returns the record.

Text never crosses the object store: what travels through Ray Data is the unit's description on
the way in and the shard's record on the way out. A unit with an intact record is not run again.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.deaths import Watched
from pipelines.ledger import add_ledgers
from pipelines.shards import FileEntry, ShardRecord, load_records
from pipelines.workspace import InputArtifact, Progress, StageOutput, WorkerFactory, Workspace


class Unit(BaseModel):
    """The smallest piece of work that is done, recorded and resumed as one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard: str
    path: str
    rows: int
    bytes: int


def units_of(artifact: InputArtifact, prefix: str = "") -> list[Unit]:
    """Return one unit a data file; shard names follow the file order of the manifest."""
    return [
        Unit(
            shard=f"{prefix}{number:05d}",
            path=str(path),
            rows=entry.rows,
            bytes=entry.bytes,
        )
        for number, (entry, path) in enumerate(
            zip(artifact.entries("data"), artifact.paths("data"), strict=True)
        )
    ]


def run_units(
    workspace: Workspace, units: Sequence[BaseModel], factory: WorkerFactory, *, unit: str = "units"
) -> list[ShardRecord]:
    """Run the units that have no intact record yet; return the records of all, in unit order.

    Raises:
        Stopped: the stage was told to end; the records of the units that were done are kept.
    """
    payloads: list[dict[str, Any]] = [one.model_dump() for one in units]
    records = load_records(workspace.root, [payload["shard"] for payload in payloads])
    pending = [payload for payload in payloads if payload["shard"] not in records]

    started, read = time.monotonic(), 0

    def finished(record: ShardRecord) -> None:
        nonlocal read
        records[record.shard] = record
        read += record.ledger.entered.bytes
        rate = read / 1e6 / max(time.monotonic() - started, 1e-9)
        note = f"{rate:,.1f} MB/s" if read else ""
        workspace.on_progress(Progress(len(records), len(payloads), unit, note))

    if pending:
        workspace.on_progress(Progress(len(records), len(payloads), unit))
        watched = partial(Watched, factory, workspace.root, workspace.attempt)
        workspace.executor.map_units(
            watched, pending, workspace.resources, finished, workspace.stop
        )
    return [records[payload["shard"]] for payload in payloads]


def stage_output(
    records: Sequence[ShardRecord],
    *,
    schema: str,
    info: Mapping[str, Any] | None = None,
    extra_files: tuple[FileEntry, ...] = (),
    unit: str = "documents",
) -> StageOutput:
    """Sum shard records into what a stage returns."""
    metrics: dict[str, float] = {}
    for record in records:
        for name, value in record.metrics.items():
            metrics[name] = metrics.get(name, 0.0) + value
    files = tuple(entry for record in records for entry in record.files)
    return StageOutput(
        files=(*files, *extra_files),
        ledger=add_ledgers((record.ledger for record in records), unit=unit),
        metrics=metrics,
        info=dict(info or {}),
        schema=schema,
    )
