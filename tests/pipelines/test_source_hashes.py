"""What was hashed is remembered, however a look at a corpus ends; what changed is read again."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import storage
from pipelines.source import SourceConfig, identity, listing
from pipelines.source_hashes import FILE
from pipelines.workspace import Progress
from tests.support.trees import OLD, sources, tree


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return sources(tmp_path)


def test_a_remembered_hash_is_used_and_a_change_is_noticed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def counted(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
        hashed.append(path.name)
        return original(path, on_bytes)

    original = storage.hash_file
    monkeypatch.setattr(storage, "hash_file", counted)
    config, cache = SourceConfig(paths=("data",)), tmp_path / "cache"
    first = listing(config, base, cache)
    assert sorted(hashed) == ["a.txt", "b.jsonl"]
    assert listing(config, base, cache) == first
    assert len(hashed) == 2

    file = base / "data" / "deep" / "a.txt"
    file.write_text("TEXT")
    os.utime(file, (OLD, OLD))  # the same size and time: only ctime tells
    assert listing(config, base, cache)[1].xxh3_128 == original(file) != first[1].xxh3_128


def test_a_look_that_is_cut_short_says_how_far_it_is_and_loses_nothing(
    base: Path, tmp_path: Path
) -> None:
    config, cache = SourceConfig(paths=("data",)), tmp_path / "cache"
    with (base / "data" / "large.txt").open("wb") as handle:
        handle.truncate(64 << 30)  # a hole: takes no room, but a while to read
    os.utime(base / "data" / "large.txt", (OLD, OLD))
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        identity(config, base, cache, interrupt)
    (progress,) = seen
    assert 0 < progress.done < progress.total == pytest.approx((64 << 30) / 1e6)
    assert progress.unit == "MB hashed"
    names = {Path(path).name for path in json.loads((cache / FILE).read_text())}
    assert names == {"a.txt", "b.jsonl"}

    (base / "data" / "large.txt").unlink()
    identity(config, base, cache, interrupt)
    assert len(seen) == 1


def test_a_look_ends_with_all_that_was_to_read(base: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    identity(SourceConfig(paths=("data",)), base, tmp_path, seen.append)
    assert (seen[-1].done, seen[-1].total) == (7 / 1e6, 7 / 1e6)


def test_a_file_written_a_moment_ago_is_not_remembered(base: Path, tmp_path: Path) -> None:
    config, cache = SourceConfig(paths=("data",)), tmp_path / "cache"
    fresh = base / "data" / "deep" / "a.txt"
    os.utime(fresh, (time.time(), time.time()))
    listing(config, base, cache)
    remembered = json.loads((cache / FILE).read_text())
    assert list(remembered) == [str(base / "data" / "b.jsonl")]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"x": 1}', '{"x": [1, 2, 3, 4]}', "\x00\xff"])
def test_a_damaged_memory_is_an_empty_one(base: Path, tmp_path: Path, damage: str) -> None:
    config = SourceConfig(paths=("data",))
    (tmp_path / FILE).write_text(damage)
    assert listing(config, base, tmp_path) == listing(config, base)
    assert len(json.loads((tmp_path / FILE).read_text())) == 2


def test_files_that_are_gone_are_forgotten(base: Path, tmp_path: Path) -> None:
    config, cache = SourceConfig(paths=("data",)), tmp_path / "cache"
    listing(config, base, cache)
    (base / "data" / "b.jsonl").unlink()
    tree(base, data__new_DOT_txt="new")
    listing(config, base, cache)
    names = {Path(path).name for path in json.loads((cache / FILE).read_text())}
    assert names == {"a.txt", "new.txt"}


def test_a_memory_that_cannot_be_written_costs_no_listing(base: Path, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert len(listing(SourceConfig(paths=("data",)), base, in_the_way / "cache")) == 2
