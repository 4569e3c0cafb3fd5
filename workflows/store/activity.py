"""What runs say they use, read from their journals; read again cheaply, only what changed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from pipelines.errors import StoreError
from workflows.journal import Event
from workflows.liveness import writer_is_gone


@dataclass(frozen=True)
class RunRecord:
    """One run: when it was last heard of and which artifacts it names."""

    run_id: str
    recipe: str
    last: float
    """Seconds since the epoch of its last event."""
    finished: bool
    alive: bool
    used: frozenset[str]
    """Folders, relative to the store, that it made, reused or read."""
    keys: frozenset[str]
    """`<kind>/<name>-<key12>` of stages that it plans or works on, whatever the generation."""


class Activity:
    """The runs of one store, kept up to date."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._seen: dict[str, tuple[tuple[int, float], list[dict[str, Any]]]] = {}

    def runs(self) -> list[RunRecord]:
        """Return every run, reading the journals that changed since the last call.

        Raises:
            StoreError: a journal is damaged in its middle, so what it kept is not known.
        """
        try:
            folders = list((self._store / "_runs").iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [record for folder in folders if (record := self._run(folder)) is not None]

    def _run(self, folder: Path) -> RunRecord | None:
        path = folder / "events.jsonl"
        try:
            state = path.stat()
            mark = (state.st_size, state.st_mtime)
            if self._seen.get(folder.name, ((-1, 0.0), []))[0] != mark:
                self._seen[folder.name] = (mark, list(_events(path)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        events = self._seen[folder.name][1]
        return _record(folder.name, events) if events else None


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events but the metrics; the last one of any kind tells when it was heard of."""
    lines = path.read_bytes().split(b"\n")
    whole = lines[:-1]  # what follows the last line end is torn, or nothing
    for number, line in enumerate(whole, start=1):
        if line.startswith(b'{"kind":"metrics"') and number < len(whole):
            continue
        try:
            event = json.loads(line)
            event["kind"], event["time"]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path}:{number}: not an event. What this run uses is not known, so nothing can "
                f"be removed safely. Repair the line, or remove {path.parent} to forget the run."
            ) from error
        yield event


def _record(run_id: str, events: list[dict[str, Any]]) -> RunRecord:
    first, last = events[0], events[-1]
    status = [e.get("data", {}).get("status") for e in events if e["kind"] == "run_finished"]
    return RunRecord(
        run_id=run_id,
        recipe=str(first.get("data", {}).get("recipe", "")),
        last=float(last["time"]),
        finished="FINISHED" in status,
        alive=not status and not _is_gone(first, float(last["time"])),
        used=frozenset(path for event in events for path in _used(event)),
        keys=frozenset(key for event in events for key in _keys(event)),
    )


def _is_gone(first: Mapping[str, Any], last: float) -> bool:
    try:
        return writer_is_gone(Event.model_validate(first), last)
    except (ValidationError, KeyError, ValueError):
        return False  # written by another version: counts as alive, which only keeps more


def _used(event: Mapping[str, Any]) -> Iterator[str]:
    data = event.get("data", {})
    if event["kind"] == "stage_started":
        yield from (relative(ref["path"]) for ref in data.get("inputs", {}).values())
    elif event["kind"] == "stage_finished":
        yield relative(data["output"]["path"])


def _keys(event: Mapping[str, Any]) -> Iterator[str]:
    data = event.get("data", {})
    rows = data.get("plan", ()) if event["kind"] == "run_started" else ()
    if event["kind"] == "stage_started":
        rows = ({"name": event.get("stage"), **data},)
    for row in rows:
        if row.get("key"):
            yield f"{row['kind']}/{row['name']}-{row['key'][:12]}"


def relative(path: str) -> str:
    """Return `<kind>/<folder>` of an artifact's path: a store may have been moved since."""
    return "/".join(PurePosixPath(path).parts[-2:])
