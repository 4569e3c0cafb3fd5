"""How far a journal is mirrored: the small file beside it, readable without importing MLflow."""

import os
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines import storage
from pipelines.local_copies import home_of
from pipelines.storage import StorePath
from workflows.journal import Journal

STATE = "mlflow.json"
LOG = "mlflow.log"
_PROBLEM = "mlflow.problem"


class Mirrored(BaseModel):
    """How far a journal is mirrored; kept as `mlflow.json` beside it."""

    model_config = ConfigDict(extra="forbid")
    tracking_uri: str
    offset: int = 0
    """Bytes of the journal that are in MLflow."""
    consumed: int = 0
    """Events that are in MLflow."""
    settled: bool = False
    """False while a sync is under way: runs may exist in MLflow that are not listed here."""
    closed: bool = False
    parent: str | None = None
    stages: dict[str, str] = {}
    running: list[str] = []
    attempts: dict[str, int] = {}
    read: dict[str, list[str]] = {}
    """stage -> name@digest of each artifact it reads"""
    last_step: dict[str, int] = {}
    models: dict[str, str] = {}
    """name@digest of a checkpoint -> id of its logged model"""
    last_time: float = 0.0


def load(journal: Journal) -> Mirrored | None:
    """Return the state beside a journal; None where there is none that this version reads."""
    try:
        path = journal.folder / STATE
        state = Mirrored.model_validate_json(storage.read_all([path])[path])
    except (KeyError, OSError, ValidationError):
        return None
    if state.consumed and not state.offset and not state.closed:
        return None  # of a version that did not count bytes: going over it again changes nothing
    return state


def save(journal: Journal, state: Mirrored) -> None:
    """Keep the state beside a journal."""
    storage.write_bytes(journal.folder / STATE, state.model_dump_json(indent=1).encode())


def is_closed(journal: Journal) -> bool:
    """Return whether MLflow has the whole run."""
    state = load(journal)
    return state is not None and state.closed


def tracking_uri_for(store: StorePath) -> str:
    """Return where MLflow's records go: MLFLOW_TRACKING_URI, else a SQLite file.

    It lies in the store, or in the user's cache for a store in a bucket.
    """
    if named := os.environ.get("MLFLOW_TRACKING_URI"):
        return named
    home = home_of(store).resolve()
    if not isinstance(store, Path):  # SQLite makes a file, not the folder it lies in
        home.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{home / 'mlflow.db'}"


def local_runs(store: StorePath) -> Path:
    """Return where a mirror keeps its lock, its log and its last problem: always a local folder."""
    return home_of(store) / "_runs"


def without_password(text: str) -> str:
    """Return a text whose addresses name no user and no password."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def last_problem(store: StorePath) -> str | None:
    """Return why the last attempt to write to MLflow failed; None where it did not."""
    try:
        return (local_runs(store) / _PROBLEM).read_text(encoding="utf-8")
    except OSError:
        return None


def note_problem(store: StorePath, problem: str | None) -> None:
    """Keep what `last_problem` returns, for who waits in another process."""
    path = local_runs(store) / _PROBLEM
    if problem is None:
        path.unlink(missing_ok=True)
    else:
        storage.write_bytes(path, problem.encode())
