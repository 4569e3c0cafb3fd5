"""A store with a ready MLflow database, and a journal in it."""

import shutil
from pathlib import Path

import pytest

from tests.support.journals import Seen, mirror_whole_run
from workflows.journal import Journal, runs_folder


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without runs: migrations take seconds, a copy takes none."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def journal(store: Path) -> Journal:
    folder = runs_folder(store) / "run-1"
    folder.mkdir(parents=True, exist_ok=True)
    return Journal(folder)


@pytest.fixture
def own(store: Path) -> Seen:
    """A mirrored run for a test that goes on writing."""
    return mirror_whole_run(store)
