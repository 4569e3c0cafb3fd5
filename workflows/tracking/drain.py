"""Empties the journals of a store into MLflow: one process at a time, live runs followed.

A process that finds another one at work leaves: the other looks for new journals once more after
it has let go of the lock, so a run that began in that moment is seen by one of the two.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from pipelines.storage import StorePath
from workflows.journal import Event, Journal, journals_of
from workflows.liveness import runs_here, writer_is_gone
from workflows.tracking import progress
from workflows.tracking.mirror import MlflowMirror

Outcome = Literal["done", "left", "busy"]

_POLL = 1.0
_SCAN = 5.0
"""Seconds between two looks for journals of new runs."""
_RETRY = 60.0
"""Seconds until a tracking server that was down is asked again, while a run goes on."""
_PATIENCE = 120.0
"""Seconds for which a sync waits for another process that is mirroring."""


@dataclass(frozen=True)
class Synced:
    """What became of the journal of one run; `problem` says why something of it is left."""

    run: str
    mirrored: int
    problem: str | None


class Backlog:
    """The journals of a store that MLflow does not have whole; a closed one is read only once."""

    def __init__(self, store: StorePath) -> None:
        self._store = store
        self._closed: set[str] = set()
        self._stuck: dict[str, int] = {}
        self._started: dict[str, Event | None] = {}

    def open(self, first: str | None = None) -> list[Journal]:
        """Return the journals of runs that MLflow does not know the end of, oldest first.

        Args:
            first: The run that someone waits for, which comes before all others.
        """
        journals = [j for j in journals_of(self._store) if j.folder.name not in self._closed]
        found = []
        for journal in sorted(journals, key=lambda j: (j.folder.name != first, j.folder.name)):
            name = journal.folder.name
            if progress.is_closed(journal):
                self._closed.add(name)
            elif self._stuck.get(name) != journal.size():
                found.append(journal)
        return found

    def pending(self) -> list[Journal]:
        """Return the open journals that a sync would do something for."""
        return [journal for journal in self.open() if self._is_pending(journal)]

    def set_aside(self, journal: Journal, size: int) -> None:
        """Leave a journal alone until it has another size: as it is, nothing can be done."""
        self._stuck[journal.folder.name] = size

    def lives(self, journal: Journal) -> bool:
        """Return whether a process of this machine is still writing a journal."""
        started = self._begin(journal)
        if started is None or not runs_here(started):
            return False
        try:
            return not _is_gone(started, journal) and not journal.has_ended()
        except FileNotFoundError:  # someone removed it
            return False

    def _is_pending(self, journal: Journal) -> bool:
        state = progress.load(journal)
        if journal.size() > (state.offset if state else 0):
            return True
        started = self._begin(journal)
        try:
            return started is not None and _is_gone(started, journal)
        except FileNotFoundError:
            return False

    def _begin(self, journal: Journal) -> Event | None:
        name = journal.folder.name
        if self._started.get(name) is None:
            try:
                event = next(journal.events(), None)
            except ValueError:
                event = None
            known = event is not None and {"pid", "host"} <= set(event.data)
            self._started[name] = event if known else None
        return self._started[name]


def _is_gone(started: Event, journal: Journal) -> bool:
    return writer_is_gone(started, journal.last_written())


def follow(store: StorePath, run: str | None = None, log: Callable[[str], None] = print) -> Outcome:
    """Mirror a store until none of its runs lives on this machine and nothing is left to do.

    Returns:
        "busy" where another process does it already, "left" where MLflow did not take everything.
    """
    backlog, left = Backlog(store), False
    while True:
        with locked(store) as ours:
            if not ours:
                return "busy"
            outcome = _tenure(store, backlog, run, log)
        left = left or outcome == "left"
        if outcome == "down":
            if not _someone_lives_for(_RETRY, backlog):
                return "left"
        elif not backlog.pending():  # looked at without the lock: see the module
            return "left" if left else "done"


def _tenure(
    store: StorePath, backlog: Backlog, run: str | None, log: Callable[[str], None]
) -> Literal["done", "left", "down"]:
    """Mirror while there is something to mirror or to wait for; the lock is ours."""
    mirror = MlflowMirror(store)
    outcome: Literal["done", "left"] = "done"
    journals, scanned = backlog.open(run), time.monotonic()
    while True:
        alive = False
        for journal in journals:
            size, lives = journal.size(), backlog.lives(journal)
            result = mirror.sync(journal)
            if result.mirrored:
                log(f"run {journal.folder.name}: {result.mirrored} events sent")
            if result.problem:
                log(result.problem)
            if result.down:
                progress.note_problem(store, result.problem)
                return "down"
            if result.problem:
                outcome = "left"
            if result.problem or not lives:
                backlog.set_aside(journal, size)
            alive = alive or lives
        if alive and time.monotonic() - scanned < _SCAN:
            time.sleep(_POLL)
            continue
        before = {journal.folder for journal in journals}
        journals, scanned = backlog.open(run), time.monotonic()
        if not alive and {journal.folder for journal in journals} <= before:
            progress.note_problem(store, None)
            return outcome


def _someone_lives_for(seconds: float, backlog: Backlog) -> bool:
    """Wait while a run lives; return at once when none does any more, or when none did."""
    journals = backlog.open()
    deadline = time.monotonic() + seconds
    alive = any(backlog.lives(journal) for journal in journals)
    lived = alive
    while alive and time.monotonic() < deadline:
        time.sleep(_POLL)
        alive = any(backlog.lives(journal) for journal in journals)
    return lived


def sync(store: StorePath, log: Callable[[str], None] = print) -> list[Synced]:
    """Mirror now what MLflow does not have, and wait for a process that is at it."""
    backlog = Backlog(store)
    deadline, told = time.monotonic() + _PATIENCE, False
    while time.monotonic() < deadline:
        with locked(store) as ours:
            if ours:
                return _once(store, backlog)
        if not backlog.pending():
            return []
        if not told:
            log("another process is writing this store's runs to MLflow: waiting for it")
            told = True
        time.sleep(_POLL / 4)
    why = (
        f"another process has been writing to MLflow for {_PATIENCE:.0f} s and is not done; its "
        f"words are in {progress.local_runs(store) / progress.LOG}. Run the same command later."
    )
    return [Synced(journal.folder.name, 0, why) for journal in backlog.pending()]


def _once(store: StorePath, backlog: Backlog) -> list[Synced]:
    mirror = MlflowMirror(store)
    found, down = [], None
    for journal in backlog.pending():
        result = mirror.sync(journal)
        down = result.problem if result.down else down
        found.append(Synced(journal.folder.name, result.mirrored, result.problem))
    progress.note_problem(store, down)
    return found


@contextmanager
def locked(store: StorePath) -> Iterator[bool]:
    """Hold the right to mirror a store; yields False where another process has it."""
    folder = progress.local_runs(store)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "mlflow.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)
