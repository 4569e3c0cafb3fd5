"""One stage run in this process on documents made up for a test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import schemas
from pipelines.executors import InProcess
from pipelines.shards import ShardFiles
from pipelines.workspace import InputArtifact, Resources, StageOutput, Workspace


def documents(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> InputArtifact:
    """Return an artifact of one shard; a row has doc_id, text and what else it needs."""
    more = [key for key in (rows[0] if rows else ()) if key not in schemas.DOCUMENT.names]
    schema = schemas.DOCUMENT
    for key in more:
        schema = schema.append(pa.field(key, pa.string()))
    files = ShardFiles(folder / name, "00000", "aaaa")
    files.write_parquet(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), "data")
    return InputArtifact(name, "filter", "0" * 64, folder / name, files.entries)


def workspace(folder: Path, inputs: Mapping[str, InputArtifact]) -> Workspace:
    """Return the workspace of a stage called 'out' that reads these inputs."""
    return Workspace("out", folder / "out", "bbbb", inputs, Resources(), InProcess())


def rows_of(folder: Path, output: StageOutput, role: str) -> list[dict[str, Any]]:
    """Return the rows of the Parquet files of a role, in the order of the shards."""
    return [
        row
        for entry in output.files
        if entry.role == role and entry.path.endswith(".parquet")
        for row in pq.read_table(folder / "out" / entry.path).to_pylist()
    ]
