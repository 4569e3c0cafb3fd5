"""One small store for all tests of lineage, and a copy for those that write into it."""

import shutil
from pathlib import Path

import pytest

from tests.support.stores import SmallStore, build_small_store


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    return build_small_store(tmp_path_factory.mktemp("small"))


@pytest.fixture
def own_small(small: SmallStore, tmp_path: Path) -> SmallStore:
    """A copy of the store whose recipe and sources stay where they are."""
    shutil.copytree(small.store, tmp_path / "store")
    return SmallStore(tmp_path, small.runs)
