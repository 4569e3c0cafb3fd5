"""Where things came from: the tree behind an artifact, and the way of one document."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflows.artifact import Artifact, all_artifacts, load
from workflows.errors import RefError

_SOURCES_SHOWN = 5


def tree(artifact: Artifact, store: Path) -> str:
    """Return the artifacts behind one, down to the source files, as an indented tree."""
    return "\n".join(_branches(artifact, store, "", "", set()))


def _branches(
    artifact: Artifact, store: Path, first: str, rest: str, seen: set[Path]
) -> Iterator[str]:
    m = artifact.manifest
    again = "  (shown above)" if artifact.folder in seen else ""
    ledger = m.ledger
    yield (
        f"{first}{m.name} ({m.kind}) @{m.digest[:12]}  {ledger.kept.rows:,} {ledger.unit}, "
        f"run {m.run_id}{again}"
    )
    if again:
        return
    seen.add(artifact.folder)
    children = list(m.inputs.items())
    if m.makes == "listing":
        yield from (f"{rest}{line}" for line in _files(artifact))
    for number, (slot, ref) in enumerate(children):
        last = number == len(children) - 1
        turn, follow = ("`- ", "   ") if last else ("|- ", "|  ")
        child = load(store / ref.path)
        if child is None:
            yield f"{rest}{turn}{slot}: {ref.name} @{ref.digest[:12]}  (gone from {ref.path})"
            continue
        yield from _branches(child, store, f"{rest}{turn}{slot}: ", f"{rest}{follow}", seen)


def _files(artifact: Artifact) -> Iterator[str]:
    for table in artifact.as_input().tables(columns=["name", "bytes", "xxh3_128"]):
        rows = table.slice(0, _SOURCES_SHOWN).to_pylist()
        for row in rows:
            yield f"   {row['name']}  {row['bytes']:,} bytes  xxh3 {row['xxh3_128'][:12]}"
        if table.num_rows > len(rows):
            yield f"   ... and {table.num_rows - len(rows):,} more files"


@dataclass(frozen=True)
class Step:
    """What one stage did with a document."""

    artifact: Artifact
    kept: bool
    row: dict[str, Any]
    features: dict[str, Any]


def way_of(doc_id: str, store: Path) -> list[Step]:
    """Return what each stage did with a document, oldest artifact first.

    Raises:
        RefError: no artifact of the store has met this document.
    """
    steps = []
    for artifact in all_artifacts(store):
        if artifact.manifest.makes != "documents":
            continue
        step = _step(artifact, doc_id)
        if step is not None:
            steps.append(step)
    if not steps:
        raise RefError(
            f"no stage in {store} has met the document '{doc_id}'. Ids of dropped documents stand "
            "in the column doc_id of <artifact>/rejects/*.parquet."
        )
    return steps


def _step(artifact: Artifact, doc_id: str) -> Step | None:
    source = artifact.as_input()
    features = {}
    for role, kept in (("rejects", False), ("data", True)):
        for path in source.paths("rejects" if role == "rejects" else "data"):
            row = _row(path, doc_id)
            if row is None:
                continue
            for side in source.paths("features"):
                features.update(_row(side, doc_id) or {})
            return Step(artifact, kept, row, features)
    return None


def _row(path: Path, doc_id: str) -> dict[str, Any] | None:
    if "doc_id" not in pq.read_schema(path).names:
        return None
    ids = pq.read_table(path, columns=["doc_id"], partitioning=None)["doc_id"]
    at = pc.index(ids, doc_id).as_py()
    if at < 0:
        return None
    row: dict[str, Any] = pq.read_table(path, partitioning=None).slice(at, 1).to_pylist()[0]
    return row


def explain(steps: list[Step]) -> str:
    """Return the way of one document as text: kept by, dropped by which rule, value and limit."""
    first = steps[0].row
    lines = [f"document {first['doc_id']}", f"source   {first.get('source')}"]
    for step in steps:
        m = step.artifact.manifest
        where = f"{m.name} ({m.kind}) @{m.digest[:8]}"
        if step.kept:
            lines.append(f"kept     {where}")
            continue
        row = step.row
        lines.append(
            f"DROPPED  {where} by rule {row['rule']}: {row['feature']} = {_number(row['value'])}, "
            f"limit {_number(row['limit'])}"
        )
        failed = row.get("failed_rules")
        if failed and len(failed) > 1:
            lines.append(f"         it also fails {', '.join(failed[1:])}")
        if row.get("duplicate_of"):
            lines.append(f"         it is a copy of {row['duplicate_of']}, which was kept")
    text = str(first.get("text") or "")
    shown = "".join(c if c.isprintable() else " " for c in text[:240])
    lines.append(f"text     {' '.join(shown.split())}{'...' if len(text) > 240 else ''}")
    return "\n".join(lines)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float | int) else "none"
