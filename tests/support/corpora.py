"""Artifacts of documents made by hand, and a dedup stage run over them in this process."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import deduplicate, schemas
from pipelines.dedup.layout import Sizes
from pipelines.deduplicate import DedupConfig
from pipelines.executors import InProcess
from pipelines.shards import ShardFiles
from pipelines.workspace import Executor, InputArtifact, Resources, StageOutput, Workspace

Row = Mapping[str, Any]


def documents(rows: Sequence[Row]) -> pa.Table:
    """Return rows (doc_id, text and what they name beside) as documents."""
    columns = {
        field.name: pa.array([row.get(field.name) for row in rows], field.type)
        for field in schemas.DOCUMENT
    }
    for name in sorted({name for row in rows for name in row} - set(columns)):
        columns[name] = pa.array([row.get(name) for row in rows])
    return pa.table(columns)


def artifact(folder: Path, units: Sequence[Sequence[Row]]) -> InputArtifact:
    """Write an artifact of documents, a file a unit."""
    entries = []
    for number, rows in enumerate(units):
        files = ShardFiles(folder, f"{number:05d}", "hand")
        files.write_parquet(documents(rows), "data")
        entries += files.entries
    return InputArtifact("clean", "filter", "0" * 64, folder, tuple(entries))


def rows_of(texts: Mapping[str, str], **more: str | None) -> list[Row]:
    """Return id -> text as rows."""
    return [{"doc_id": doc_id, "text": text, **more} for doc_id, text in texts.items()]


def dedup(
    out: Path,
    inputs: Mapping[str, InputArtifact],
    config: Mapping[str, Any] | None = None,
    *,
    sizes: Sizes | None = None,
    executor: Executor | None = None,
    attempt: str = "bbbb",
) -> StageOutput:
    """Run the stage `unique` over artifacts; its books balance."""
    workspace = Workspace("unique", out, attempt, inputs, Resources(), executor or InProcess())
    output = deduplicate.deduplicated(
        workspace, DedupConfig.model_validate(config or {}), sizes or Sizes()
    )
    output.ledger.balance("unique")
    return output


def published(out: Path, output: StageOutput) -> InputArtifact:
    """Return an output as the artifact that a later stage would be given."""
    return InputArtifact("unique", "dedup", "1" * 64, out, output.files, output.info)


def read(out: Path, output: StageOutput, role: str) -> dict[str, dict[str, Any]]:
    """Return the rows of a role by doc_id."""
    rows = [
        row
        for entry in output.files
        if entry.role == role and entry.path.endswith(".parquet")
        for row in pq.read_table(out / entry.path).to_pylist()
    ]
    return {row["doc_id"]: row for row in rows}


def evidence(out: Path, output: StageOutput, step: str) -> list[dict[str, Any]]:
    """Return the rows a step kept as evidence."""
    return [
        row
        for entry in output.files
        if entry.path.startswith(f"aside/part-{step}")
        for row in pq.read_table(out / entry.path).to_pylist()
    ]


def dated(date: str) -> str:
    """Return a document's metadata with a date."""
    return json.dumps({"date": date})
