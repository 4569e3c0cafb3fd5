"""The journal of a run: one JSON line an event, the truth that MLflow and reports mirror.

A run writes its journal first; MLflow is filled from it. So a tracking server that is down costs
nothing but delay: what was not mirrored yet is mirrored by the next run of the same store.
"""

import contextlib
import io
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from pipelines import storage
from pipelines.errors import StoreError
from pipelines.storage import StorePath, explained

Kind = Literal[
    "run_started",
    "stage_started",
    "metrics",
    "stage_retried",
    "stage_finished",
    "stage_failed",
    "stage_stopped",
    "run_finished",
]


_LAST_LINES = 4096
"""Bytes in which the last event of a run has room: it says little."""


_SEGMENT = 1 << 32
_METRICS = b'{"kind":"metrics"'
"""How the line of such an event begins; were it written otherwise, reading took longer."""


class Event(BaseModel):
    """One thing that happened.

    Fields by kind (all JSON values):
        run_started     recipe, run_id, command, commit, plan (list of {name, kind, verdict, why})
        stage_started   kind, key, verdict, config (resolved), inputs {slot: {name, digest, path}}
        metrics         values {name: float}; `step` counts optimiser steps
        stage_finished  cache ("reused" | "ran" | "resumed"), output {name, digest, path, kind},
                        ledger, metrics {name: float}, seconds, producer (run id that built it),
                        model: true where the output is a checkpoint
        stage_retried   number, error
        stage_failed    error, quarantined
        stage_stopped   reason: someone asked
        run_finished    status ("FINISHED" | "FAILED" | "KILLED")
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Kind
    time: float = Field(default_factory=time.time)
    stage: str | None = None
    step: int | None = None
    data: Mapping[str, Any] = {}


class Journal:
    """The events of one run in `<store>/_runs/<run_id>`: a file, or segments in a bucket."""

    def __init__(self, folder: StorePath) -> None:
        self.folder = folder
        self._lines: _Lines = _File(folder) if isinstance(folder, Path) else _Segments(folder)
        self.path = self._lines.path

    def write(self, event: Event) -> None:
        """Append one event durably enough to survive the death of this process.

        Raises:
            StoreError: the disk or the server does not take it.
        """
        line = event.model_dump_json(exclude_none=True) + "\n"
        self._lines.append(line, now=event.kind != "metrics")

    def events(self) -> Iterator[Event]:
        """Yield the events written so far; a torn last line (a killed writer) ends the list."""
        return (event for _, event in self.events_after(0))

    def milestones(self) -> Iterator[Event]:
        """Yield the events but the metrics, without reading those: they are most of a long journal.

        Raises:
            ValueError: a line is not an event of this version; names the journal.
        """
        for _, line in self._lines.after(0):
            if not line.endswith(b"\n"):
                return
            if not line.startswith(_METRICS):
                yield self._event(line)

    def _event(self, line: bytes) -> Event:
        try:
            return Event.model_validate_json(line)
        except ValueError as error:
            raise ValueError(
                f"{self.path} holds a line that this version does not read: {line[:60]!r}. "
                f"Repair it, or remove {self.folder} to forget the run."
            ) from error

    def events_after(self, offset: int) -> Iterator[tuple[int, Event]]:
        """Yield the events behind an offset, each with the offset behind itself; 0 is the start.

        Whoever follows a journal keeps the last offset, so nothing is read twice.

        Raises:
            ValueError: a line is not an event of this version; names the journal.
        """
        for behind, line in self._lines.after(offset):
            if not line.endswith(b"\n"):
                return
            yield behind, self._event(line)

    def has_ended(self) -> bool:
        """Return whether the run said how it ended, without reading more than the last lines."""
        lines = self._lines.tail().splitlines(keepends=True)
        return (
            bool(lines)
            and lines[-1].startswith(b'{"kind":"run_finished"')
            and lines[-1].endswith(b"\n")
        )

    def size(self) -> int:
        """Return the offset behind all that was written so far; 0 where there is no journal."""
        return self._lines.size()

    def last_written(self) -> float:
        """Return when the last event was written, in seconds since the epoch.

        Raises:
            FileNotFoundError: someone removed the journal.
        """
        if isinstance(self.path, Path):
            return self.path.stat().st_mtime
        lines = self._lines.tail().splitlines()
        if not lines:
            raise FileNotFoundError(str(self.path))
        return float(json.loads(lines[-1])["time"])


class _Lines(Protocol):
    """Where the lines of a journal lie."""

    @property
    def path(self) -> StorePath:
        """What to show a person who asks where they are."""
        ...

    def append(self, line: str, *, now: bool) -> None:
        """Add a line; `now` means before this returns, else it may wait for others a moment."""
        ...

    def after(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """Yield the lines behind an offset in the order they were added, and where each ends."""
        ...

    def size(self) -> int:
        """Return where the last line ends."""
        ...

    def tail(self) -> bytes:
        """Return the last few lines; the first of them may lack its beginning."""
        ...


class _File:
    """One file that grows: what a local disk can do. An offset counts its bytes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.jsonl"
        self._lock = Lock()

    def append(self, line: str, *, now: bool) -> None:
        with self._lock, explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(line)
                handle.flush()
                if now:
                    os.fsync(handle.fileno())

    def after(self, offset: int) -> Iterator[tuple[int, bytes]]:
        if not self.path.is_file():
            return
        with self.path.open("rb") as handle:
            handle.seek(offset)
            for line in handle:
                offset += len(line)
                yield offset, line

    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def tail(self) -> bytes:
        with self.path.open("rb") as handle:
            handle.seek(max(0, self.size() - _LAST_LINES))
            return handle.read()


class _Segments:
    """Numbered objects `events/000001.jsonl`, `000002.jsonl`, ...: a bucket cannot append.

    An offset holds the segments read whole in its upper bits, and bytes of the next one in its
    lower: segments never change, so those behind it need not be read again.
    """

    def __init__(self, folder: StorePath) -> None:
        self.path = folder / "events"
        self._waiting: list[str] = []
        self._held = 0
        self._last: int | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def append(self, line: str, *, now: bool) -> None:
        with self._lock:
            self._waiting.append(line)
            self._held += len(line)
            if now or self._held >= _SEGMENT_BYTES:
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(_SEGMENT_SECONDS, self._flush_late)
                self._timer.daemon = True
                self._timer.start()

    def after(self, offset: int) -> Iterator[tuple[int, bytes]]:
        whole, begun = divmod(offset, _SEGMENT)
        names = [name for name in storage.children(self.path) if _number(name) > whole]
        segments = storage.read_all(self.path / name for name in names)
        for name in names:
            content = segments[self.path / name]
            at = begun
            begun = 0
            for line in io.BytesIO(content[at:]):
                at += len(line)
                ended = at == len(content)
                yield (
                    _number(name) * _SEGMENT if ended else ((_number(name) - 1) * _SEGMENT + at),
                    line,
                )

    def size(self) -> int:
        names = storage.children(self.path)
        return _number(names[-1]) * _SEGMENT if names else 0

    def tail(self) -> bytes:
        names = storage.children(self.path)
        last = self.path / names[-1] if names else None
        return storage.read_all([last])[last] if last is not None else b""

    def _flush_late(self) -> None:
        with self._lock, contextlib.suppress(StoreError):  # the lines wait; the next write says it
            self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        if self._last is None:
            names = storage.children(self.path)
            self._last = _number(names[-1]) if names else 0
        payload = "".join(self._waiting).encode()
        while not storage.put_if_absent(self.path / f"{self._last + 1:06d}.jsonl", payload):
            self._last += 1  # another process writes to this journal too
        self._last += 1
        self._waiting, self._held = [], 0


def _number(name: str) -> int:
    return int(name.removesuffix(".jsonl"))


_SEGMENT_SECONDS = 2.0
_SEGMENT_BYTES = 64 << 10


def runs_folder(store: StorePath) -> StorePath:
    """Return where the journals of a store lie, one folder a run."""
    return store / "_runs"


def journals_of(store: StorePath) -> list[Journal]:
    """Return the journals of a store, oldest run first."""
    runs = runs_folder(store)
    folders = [runs / name for name in storage.children(runs)]
    if isinstance(store, Path):
        folders = [folder for folder in folders if (folder / "events.jsonl").is_file()]
    return [Journal(folder) for folder in folders]
