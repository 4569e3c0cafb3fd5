"""Stores full of runs, made of real events and manifests without running anything."""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.ledger import Count, Ledger
from pipelines.shards import FileEntry
from workflows.artifact import MANIFEST, InputRef, Manifest, folder_of
from workflows.journal import Event, runs_folder
from workflows.stage import fingerprint

START = 1_795_000_000.0


@dataclass(frozen=True)
class Made:
    """One stage of a made-up run."""

    name: str
    needs: Mapping[str, str] = field(default_factory=dict)
    kind: str = "filter"
    makes: str = "listing"
    config: Mapping[str, Any] = field(default_factory=dict)
    entered: int = 1000
    dropped: Mapping[str, int] = field(default_factory=dict)
    unit: str = "documents"
    metrics: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    cache: str = "ran"
    why: str = "never built"
    code_parts: Mapping[str, str] = field(
        default_factory=lambda: {"pipelines.filter.run": "a" * 64}
    )
    error: str | None = None
    """Set: the stage fails with it."""
    begun: bool = True
    finished: bool = True

    @property
    def ledger(self) -> Ledger:
        """The books, balanced."""
        dropped = {rule: Count(rows=rows, bytes=rows * 100) for rule, rows in self.dropped.items()}
        left = self.entered - sum(self.dropped.values())
        return Ledger(
            unit=self.unit,
            entered=Count(rows=self.entered, bytes=self.entered * 100),
            kept=Count(rows=left, bytes=left * 100),
            dropped=dropped,
        )


def write_run(
    store: Path,
    run_id: str,
    stages: Sequence[Made],
    *,
    status: str | None = "FINISHED",
    at: float = START,
    manifests: bool = True,
    **started: Any,
) -> None:
    """Write the journal of a run, and the manifests of what it built."""
    refs: dict[str, InputRef] = {}
    plan = [
        {"name": s.name, "kind": s.kind, "verdict": "RUN", "why": s.why, "needs": dict(s.needs)}
        for s in stages
    ]
    data = {
        "recipe": "demo", "run_id": run_id, "command": "llada run demo.yaml", "commit": "c0ffee12",
        "dirty_diff": None, "plan": plan, "pid": os.getpid(), "host": socket.gethostname(),
    }  # fmt: skip
    events = [Event(kind="run_started", time=at, data={**data, **started})]
    for number, stage in enumerate(stages):
        if stage.begun:
            events += _events(store, run_id, stage, refs, at=at + number, manifests=manifests)
    if status is not None:
        end = at + len(stages)
        events.append(Event(kind="run_finished", time=end, data={"status": status}))
    folder = runs_folder(store) / run_id
    folder.mkdir(parents=True)
    lines = [event.model_dump_json(exclude_none=True) + "\n" for event in events]
    (folder / "events.jsonl").write_text("".join(lines), encoding="utf-8")


def _events(
    store: Path, run_id: str, stage: Made, refs: dict[str, InputRef], *, at: float, manifests: bool
) -> list[Event]:
    inputs = {slot: refs[name] for slot, name in stage.needs.items()}
    manifest = manifest_of(stage, inputs, run_id)
    folder = folder_of(store, stage.kind, stage.name, manifest.key)
    begun = {
        "kind": stage.kind, "key": manifest.key, "verdict": "RUN", "why": stage.why,
        "config": dict(stage.config), "inputs": {s: r.model_dump() for s, r in inputs.items()},
    }  # fmt: skip
    events = [Event(kind="stage_started", time=at, stage=stage.name, data=begun)]
    if stage.error is not None:
        failed = {"error": stage.error}
        return [*events, Event(kind="stage_failed", time=at, stage=stage.name, data=failed)]
    if not stage.finished:
        return events
    path = folder.relative_to(store).as_posix()
    refs[stage.name] = InputRef(name=stage.name, kind=stage.kind, digest=manifest.digest, path=path)
    if manifests and not (folder / MANIFEST).exists():
        folder.mkdir(parents=True)
        text = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True)
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    done = {
        "cache": stage.cache, "seconds": manifest.seconds, "producer": run_id,
        "output": {
            "name": stage.name, "digest": manifest.digest, "kind": stage.kind, "path": str(folder),
        },
        "ledger": manifest.ledger.model_dump(mode="json"), "metrics": dict(stage.metrics),
        "model": stage.makes == "model",
    }  # fmt: skip
    return [*events, Event(kind="stage_finished", time=at + 0.5, stage=stage.name, data=done)]


def manifest_of(stage: Made, inputs: Mapping[str, InputRef], run_id: str) -> Manifest:
    """Return the manifest a stage would publish; its key hangs on config, inputs and code."""
    known = [stage.name, stage.config, {s: r.digest for s, r in inputs.items()}, stage.code_parts]
    key = fingerprint(known)
    content = fingerprint([key, stage.ledger.model_dump(mode="json")])
    return Manifest(
        name=stage.name, kind=stage.kind, makes=stage.makes, key=key, digest=content,
        config=stage.config, inputs=inputs,
        files=(
            FileEntry(
                path=f"data/part-00000.{key[:8]}.parquet", role="data", shard="00000",
                rows=stage.ledger.kept.rows, bytes=1234, xxh3_128=content[:32],
            ),
        ),
        schema_text="doc_id: string", ledger=stage.ledger, metrics=stage.metrics,
        info=stage.info, version=1, code_policy="rerun", code_hash=fingerprint(stage.code_parts),
        code_parts=stage.code_parts, commit="c0ffee12", dirty_diff=None,
        packages={"numpy": "2.0"}, created="2026-11-18T06:00:00.000000Z", seconds=1.5,
        run_id=run_id, recipe="demo",
    )  # fmt: skip
