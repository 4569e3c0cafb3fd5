"""Fixtures every test may use; tests that need Ray, the long ones, run first."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.browsing import browser, watched

__all__ = ["browser", "watched"]

os.environ.setdefault("OMP_NUM_THREADS", "1")

# A compiled kernel's first call takes seconds, and machines are busy: no deadline on an example.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

PROJECT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that two processes end at about the same time."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    from pipelines.ray_node import start_ray, stop_ray

    start_ray()
    yield
    stop_ray()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The endpoint of an S3 server on loopback; its buckets: tests/support/s3_server.py."""
    from tests.support import s3_server

    with s3_server.running() as endpoint:
        yield endpoint


@pytest.fixture
def s3_account(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The endpoint, with credentials for it in the environment and a cache of this test's own."""
    from tests.support.s3_server import CREDENTIALS

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return s3_server


@pytest.fixture
def s3_store(s3_account: str) -> str:
    """The URI of an empty store in a bucket."""
    return f"s3://store/{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real corpora are not here: {folder} is missing")
    return folder
