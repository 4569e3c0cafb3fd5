"""Remembered closures are those that hashing would give; a changed tree is never answered for."""

import os
from pathlib import Path

import pytest

from workflows.code import memory
from workflows.code.closure import closure
from workflows.code.memory import Closures

NAME = "pipelines.stage.run"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for package in ("filters", "llada", "pipelines", "workflows"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "pipelines" / "stage.py").write_text(
        "from filters.words import count\ndef run(x):\n    return count(x)\n"
    )
    (tmp_path / "filters" / "words.py").write_text(
        "def helper(x):\n    return x + 1\ndef count(x):\n    return helper(x)\n"
    )
    _age(tmp_path)
    return tmp_path


def _age(root: Path) -> None:
    for path in root.rglob("*.py"):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10))


def test_memory_answers_like_hashing(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = Closures(root, cache)
    assert first.of(NAME) == closure(NAME, root)
    first.save()
    assert Closures(root, cache)._known == {NAME: closure(NAME, root)}


def test_an_edit_two_calls_away_is_seen(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = Closures(root, cache)
    before = first.of(NAME)
    first.save()
    words = root / "filters" / "words.py"
    words.write_text(words.read_text().replace("x + 1", "x + 2"))  # as long as before
    after = Closures(root, cache).of(NAME)
    assert after != before
    assert after == closure(NAME, root)


def test_a_new_module_that_hides_a_name_is_seen(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = Closures(root, cache)
    first.of(NAME)
    first.save()
    (root / "filters" / "more.py").write_text("")
    assert Closures(root, cache)._known == {}


def test_a_tree_that_just_changed_is_not_remembered(root: Path, tmp_path: Path) -> None:
    (root / "filters" / "words.py").touch()
    first = Closures(root, tmp_path / "cache")
    first.of(NAME)
    first.save()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"stamp": 1}', '{"closures": 3}'])
def test_a_damaged_memory_is_an_empty_one(root: Path, tmp_path: Path, damage: str) -> None:
    first = Closures(root, tmp_path)
    first.of(NAME)
    first.save()
    (path,) = tmp_path.glob("closures-*.json")
    path.write_text(damage)
    assert Closures(root, tmp_path).of(NAME) == closure(NAME, root)


def test_an_unwritable_memory_costs_nothing(root: Path) -> None:
    first = Closures(root, Path("/proc/nowhere"))
    first.of(NAME)
    first.save()


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert memory.user_cache() == Path("/somewhere/llada")
