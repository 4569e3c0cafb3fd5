"""Mirrors journals into MLflow: incremental, repeatable, and never the reason a run fails."""

import fcntl
import logging
import os
import re
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipelines import storage
from pipelines.errors import StoreError
from workflows.journal import Event, Journal, runs_folder
from workflows.liveness import writer_is_gone
from workflows.mlflow_mirror import Mirrored, MlflowWriter

if TYPE_CHECKING:
    from mlflow import MlflowClient

STATE = "mlflow.json"
_PAUSE = 60.0
"""Seconds in which a tracking server that was down is not asked again."""
_PATIENCE = 10.0
"""Seconds to wait for another process that is mirroring the same store."""


@dataclass(frozen=True)
class SyncResult:
    """What one sync did; `problem` says in a sentence why `pending` events are not mirrored."""

    mirrored: int
    pending: int
    problem: str | None = None


def tracking_uri_for(store: Path) -> str:
    """Return where MLflow's records go: MLFLOW_TRACKING_URI, else a SQLite file in the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store.resolve() / 'mlflow.db'}"


def pending_runs(store: Path) -> list[Journal]:
    """Return the journals that a sync would do something for, oldest first.

    These are runs that ended while tracking was down, and runs that were killed; a run that is
    alive is listed while it has unmirrored events.
    """
    folders = sorted(path.parent for path in runs_folder(store).glob("*/events.jsonl"))
    return [journal for journal in map(Journal, folders) if _is_pending(journal)]


def _is_pending(journal: Journal) -> bool:
    state = _load(journal)
    if state is not None and state.closed:
        return False
    try:
        events = list(journal.events())
    except ValueError:
        return True  # a sync says what is wrong with it
    consumed = state.consumed if state else 0
    return len(events) > consumed or (bool(events) and _is_abandoned(events))


class MlflowMirror:
    """Mirrors the journals of one store to one tracking URI; MLflow is imported when needed."""

    def __init__(self, store: Path, tracking_uri: str | None = None) -> None:
        """Do nothing yet; `tracking_uri` defaults to `tracking_uri_for(store)`."""
        self._store = store.resolve()
        self._uri = tracking_uri or tracking_uri_for(store)
        self._shown_uri = _without_password(self._uri)
        self._client: MlflowClient | None = None
        self._down_until = 0.0
        self._problem = ""

    def sync(self, journal: Journal) -> SyncResult:
        """Mirror what is new in a journal, and end in MLflow a run whose process was killed.

        Never raises for tracking that is down or a journal that cannot be read: the result says so.
        """
        try:
            events = list(journal.events())
        except ValueError as error:
            return SyncResult(0, 0, _unreadable(journal, str(error)))
        try:
            with _locked(runs_folder(self._store) / "mlflow.lock") as ours:
                return self._sync(journal, events, ours)
        except KeyError as error:  # written by another version
            return SyncResult(0, len(events), _unreadable(journal, f"an event lacks {error}"))
        except OSError as error:
            return SyncResult(0, len(events), f"cannot lock the journals of this store: {error}")

    def _sync(self, journal: Journal, events: list[Event], ours: bool) -> SyncResult:
        state = self._state(journal)
        new = events[state.consumed :]
        abandoned = bool(events) and not state.closed and _is_abandoned(events)
        if not new and not abandoned:
            return SyncResult(0, 0)
        if events[0].kind != "run_started":
            return SyncResult(0, len(new), _unreadable(journal, "it has no beginning"))
        if not ours:
            why = "another process is mirroring the same store; the next run goes on from here"
            return SyncResult(0, len(new), why)
        if time.monotonic() < self._down_until:
            return SyncResult(0, len(new), self._problem)
        before, problem = state.consumed, None
        try:
            self._mirror(journal, state, events, abandoned)
        except _down() as error:
            problem = self._went_down(error)
        return SyncResult(state.consumed - before, len(events) - state.consumed, problem)

    def _mirror(
        self, journal: Journal, state: Mirrored, events: list[Event], abandoned: bool
    ) -> None:
        client = self._connect()
        served = self._uri.startswith(("http://", "https://"))
        copies = None if served else self._store / "_mlflow"
        writer = MlflowWriter(client, state, events[0], copies)
        _save(journal, state.model_copy(update={"settled": False}))
        try:
            for (kind, stage), group in groupby(
                events[state.consumed :], key=lambda event: (event.kind, event.stage)
            ):
                some = list(group)
                if kind == "metrics":
                    writer.stream(str(stage), some)
                    state.consumed += len(some)
                    continue
                for event in some:
                    writer.apply(event)
                    state.consumed += 1
            if abandoned:
                writer.close("KILLED")
            state.settled = True
        finally:
            _save(journal, state)

    def _connect(self) -> "MlflowClient":
        if self._client is None:
            _quiet()
            from mlflow import MlflowClient

            _quiet()  # again: the import sets up its own loggers
            self._client = MlflowClient(tracking_uri=self._uri)
        return self._client

    def _went_down(self, error: Exception) -> str:
        self._client = None
        self._down_until = time.monotonic() + _PAUSE
        self._problem = (
            f"MLflow at {self._shown_uri} did not take the records of this run: {_reason(error)}. "
            f"They are kept in {runs_folder(self._store)}; the next run with this store sends them."
        )
        return self._problem

    def _state(self, journal: Journal) -> Mirrored:
        """Return how far the journal is; one that was begun elsewhere begins anew here."""
        state = _load(journal)
        if state is None or not (state.closed or state.tracking_uri == self._shown_uri):
            return Mirrored(tracking_uri=self._shown_uri)
        return state


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if "failed with exception" in lines[0]:  # how MLflow words every broken connection
        return "it does not answer"
    return textwrap.shorten(_without_password(lines[0]), 300, placeholder=" ...").rstrip(".")


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)


def _is_abandoned(events: list[Event]) -> bool:
    if events[0].kind != "run_started" or events[-1].kind == "run_finished":
        return False
    return writer_is_gone(events[0], events[-1].time)


def _unreadable(journal: Journal, why: str) -> str:
    return (
        f"{journal.path} cannot be mirrored to MLflow: {why.splitlines()[0]}. "
        f"Remove the folder {journal.folder} if you do not need its history."
    )


def _load(journal: Journal) -> Mirrored | None:
    """Return the state beside a journal; None where there is none that this version reads."""
    try:
        return Mirrored.model_validate_json((journal.folder / STATE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _save(journal: Journal, state: Mirrored) -> None:
    storage.write_bytes(journal.folder / STATE, state.model_dump_json(indent=1).encode())


def _down() -> tuple[type[Exception], ...]:
    """Return what tracking that is down raises; errors of `requests` are OSErrors."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, OSError, StoreError)


def _quiet() -> None:
    """Keep MLflow's chatter off the terminal, its telemetry off, its retries short."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    for name, level in (
        ("alembic", logging.WARNING),
        ("mlflow", logging.WARNING),
        ("urllib3.connectionpool", logging.ERROR),
    ):
        logging.getLogger(name).setLevel(level)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold a lock file; yields False where another process keeps it for longer than is decent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        deadline = time.monotonic() + _PATIENCE
        while not (ours := _try_lock(handle.fileno())) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield ours


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
