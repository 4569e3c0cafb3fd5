"""A finished store of four artifacts, built once and copied for each test."""

import shutil
from pathlib import Path

import pytest

from tests.support.kept_stores import build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture
def store(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(built, tmp_path / "store")
    return tmp_path / "store"
