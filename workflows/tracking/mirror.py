"""Mirrors one journal into MLflow: incremental, repeatable, and never the reason a run fails."""

import logging
import os
import re
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import StoreError
from pipelines.local_copies import home_of
from pipelines.storage import StorePath
from workflows.journal import Event, Journal, runs_folder
from workflows.liveness import writer_is_gone
from workflows.tracking import progress
from workflows.tracking.progress import Mirrored, tracking_uri_for, without_password
from workflows.tracking.writer import MlflowWriter

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PAUSE = 60.0
"""Seconds in which a tracking server that was down is not asked again."""
_CHUNK = 2_000
"""Events between two notes of how far the mirror is."""


@dataclass(frozen=True)
class SyncResult:
    """What one sync did; `problem` says in a sentence why events are not mirrored."""

    mirrored: int
    problem: str | None = None
    down: bool = False
    """Whether the problem is MLflow's, so that other journals would meet it too."""


@dataclass
class _Followed:
    """A journal that this mirror has begun to read."""

    journal: Journal
    state: Mirrored
    started: Event
    writer: MlflowWriter | None = None


class MlflowMirror:
    """Mirrors the journals of one store to one tracking URI; MLflow is imported when needed.

    It keeps in mind how far each journal is, so only one may write at a time: see `drain`.
    """

    def __init__(self, store: StorePath, tracking_uri: str | None = None) -> None:
        """Do nothing yet; `tracking_uri` defaults to `tracking_uri_for(store)`."""
        self._store = store.resolve()
        self._uri = tracking_uri or tracking_uri_for(store)
        self._shown_uri = without_password(self._uri)
        self._followed: dict[StorePath, _Followed] = {}
        self._client: MlflowClient | None = None
        self._down_until = 0.0
        self._problem = ""

    def sync(self, journal: Journal) -> SyncResult:
        """Mirror what is new in a journal, and end in MLflow a run whose process was killed.

        Never raises for tracking that is down or a journal that cannot be read: the result says so.
        """
        try:
            followed = self._follow(journal)
            if followed is None or followed.state.closed:
                return SyncResult(0)
            # Asked before the last events are read: who is gone now has written all of them.
            last = followed.state.last_time or followed.started.time
            abandoned = writer_is_gone(followed.started, last)
            if journal.size() == followed.state.offset and not abandoned:
                return SyncResult(0)
            if time.monotonic() < self._down_until:
                return SyncResult(0, self._problem, down=True)
            return self._attempt(followed, abandoned)
        except (KeyError, _UnreadableError) as error:
            return SyncResult(0, _unreadable(journal, error))
        except (OSError, StoreError) as error:
            return SyncResult(0, f"{journal.folder} cannot be mirrored to MLflow: {error}")

    def _follow(self, journal: Journal) -> _Followed | None:
        """Return what is known of a journal; None while it is empty."""
        if journal.folder not in self._followed:
            _, first = next(_read(journal, 0), (0, None))
            if first is None:
                return None
            if first.kind != "run_started":
                raise _UnreadableError("it has no beginning")
            state = self._state(journal)
            self._followed[journal.folder] = _Followed(journal, state, first)
        return self._followed[journal.folder]

    def _attempt(self, followed: _Followed, abandoned: bool) -> SyncResult:
        state, before = followed.state, followed.state.consumed
        noted = state.model_copy(deep=True)
        problem, down = None, False
        try:
            writer = self._writer(followed)
            state.settled = noted.settled = False
            progress.save(followed.journal, noted)
            for offset, count in self._passages(followed, writer):
                state.offset = offset
                state.consumed += count
                noted = state.model_copy(deep=True)
            if abandoned and not state.closed:
                writer.close("KILLED")
            state.settled = True
            noted = state
        except (KeyError, _UnreadableError) as error:
            problem = _unreadable(followed.journal, error)
        except _down() as error:
            problem, down = self._went_down(error), True
        finally:
            progress.save(followed.journal, noted)
            if noted is not state or state.closed:  # the next sync begins from what was noted
                self._followed.pop(followed.journal.folder, None)
        return SyncResult(noted.consumed - before, problem, down)

    def _passages(self, followed: _Followed, writer: MlflowWriter) -> Iterator[tuple[int, int]]:
        """Mirror the rest of a journal; yield (offset, events) where all before it is in MLflow.

        Metrics of stages that run side by side come in turns, so they are gathered by stage.
        """
        events = _read(followed.journal, followed.state.offset)
        while some := list(islice(events, _CHUNK)):
            waiting: dict[str, list[Event]] = {}
            count = 0
            for offset, event in some:
                count += 1
                if event.kind == "metrics":
                    waiting.setdefault(str(event.stage), []).append(event)
                    continue
                _flush(writer, waiting)
                writer.apply(event)
                yield offset, count
                count = 0
            _flush(writer, waiting)
            yield some[-1][0], count
            progress.save(followed.journal, followed.state)

    def _writer(self, followed: _Followed) -> MlflowWriter:
        if followed.writer is None:
            client = self._connect()
            served = self._uri.startswith(("http://", "https://"))
            copies = None if served else home_of(self._store) / "_mlflow"
            followed.writer = MlflowWriter(client, followed.state, followed.started, copies)
        return followed.writer

    def _connect(self) -> "MlflowClient":
        if self._client is None:
            self._client = connect(self._uri)
        return self._client

    def _went_down(self, error: Exception) -> str:
        self._client = None
        self._followed.clear()
        self._down_until = time.monotonic() + _PAUSE
        self._problem = (
            f"MLflow at {self._shown_uri} did not take the records of this run: {reason(error)}. "
            f"They are kept in {runs_folder(self._store)}; the next run with this store sends "
            "them, or `llada sync`."
        )
        return self._problem

    def _state(self, journal: Journal) -> Mirrored:
        """Return how far the journal is; one that was begun elsewhere begins anew here."""
        state = progress.load(journal)
        if state is None or not (state.closed or state.tracking_uri == self._shown_uri):
            return Mirrored(tracking_uri=self._shown_uri)
        return state


class _UnreadableError(Exception):
    """A journal, or a line of it, that this version does not understand."""


def _read(journal: Journal, offset: int) -> Iterator[tuple[int, Event]]:
    try:
        yield from journal.events_after(offset)
    except ValueError as error:
        raise _UnreadableError(str(error)) from error


def _flush(writer: MlflowWriter, waiting: dict[str, list[Event]]) -> None:
    for stage, events in waiting.items():
        writer.stream(stage, events)
    waiting.clear()


def connect(uri: str) -> "MlflowClient":
    """Return a client of tracking and registry at one URI; imports MLflow, quietly.

    Raises:
        OSError, SQLAlchemyError: a database does not answer. MLflow itself would ask it ten times
            over, for two minutes.
    """
    _quiet()
    from mlflow import MlflowClient
    from sqlalchemy import create_engine

    _quiet()  # again: the import sets up its own loggers
    if re.match(r"(sqlite|postgresql|mysql|mssql)[+:]", uri):
        engine = create_engine(uri)
        if engine.dialect.name == "sqlite" and engine.url.database:
            Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def reason(error: Exception) -> str:
    """Return why MLflow failed, as part of a sentence, without passwords."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if "failed with exception" in lines[0]:  # how MLflow words every broken connection
        return "it does not answer"
    return textwrap.shorten(without_password(lines[0]), 300, placeholder=" ...").rstrip(".")


def _unreadable(journal: Journal, error: Exception) -> str:
    lacks = isinstance(error, KeyError)  # written by another version
    why = f"an event lacks {error}" if lacks else str(error)
    return (
        f"{journal.path} cannot be mirrored to MLflow: {why.splitlines()[0]}. "
        f"Remove the folder {journal.folder} if you do not need its history."
    )


def _down() -> tuple[type[Exception], ...]:
    """Return what tracking that is down, or no MLflow at all, raises.

    Errors of `requests` are OSErrors; an answer that makes no sense is a ValueError.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, OSError, StoreError, ValueError)


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
