"""The journal of a run: one JSON line an event, the truth that MLflow and reports mirror.

A run writes its journal first; MLflow is filled from it. So a tracking server that is down costs
nothing but delay: what was not mirrored yet is mirrored by the next run of the same store.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.storage import explained

Kind = Literal[
    "run_started",
    "stage_started",
    "metrics",
    "stage_finished",
    "stage_failed",
    "run_finished",
]


class Event(BaseModel):
    """One thing that happened.

    Fields by kind (all JSON values):
        run_started     recipe, run_id, command, commit, plan (list of {name, kind, verdict, why})
        stage_started   kind, key, verdict, config (resolved), inputs {slot: {name, digest, path}}
        metrics         values {name: float}; `step` counts optimiser steps
        stage_finished  cache ("reused" | "ran" | "resumed"), output {name, digest, path, kind},
                        ledger, metrics {name: float}, seconds, producer (run id that built it),
                        model: true where the output is a checkpoint
        stage_failed    error
        run_finished    status ("FINISHED" | "FAILED" | "KILLED")
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Kind
    time: float = Field(default_factory=time.time)
    stage: str | None = None
    step: int | None = None
    data: Mapping[str, Any] = {}


class Journal:
    """Appends events to `<store>/_runs/<run_id>/events.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "events.jsonl"
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, event: Event) -> None:
        """Append one event durably enough to survive the death of this process."""
        line = event.model_dump_json(exclude_none=True) + "\n"
        with explained(self.path), self.path.open("a", encoding="utf-8") as handle:
            handle.write(line)
            handle.flush()
            if event.kind != "metrics":
                os.fsync(handle.fileno())

    def events(self) -> Iterator[Event]:
        """Yield the events written so far; a torn last line (a killed writer) ends the list."""
        if not self.path.is_file():
            return
        with self.path.open(encoding="utf-8") as handle:
            for line in handle:
                if not line.endswith("\n"):
                    return
                yield Event.model_validate(json.loads(line))


def runs_folder(store: Path) -> Path:
    """Return where the journals of a store lie, one folder a run."""
    return store / "_runs"
