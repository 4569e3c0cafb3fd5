"""Removal against others at work, and killed at any point: nothing half-removed looks whole."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.errors import StoreError
from tests.support.kept_stores import forget_runs, make_old, touch_back
from workflows.artifact import all_artifacts, load
from workflows.lineage.refs import resolve
from workflows.store import refs
from workflows.store.collect import LOCK, collect
from workflows.store.leases import claim, holder
from workflows.store.sweep import remove_folder
from workflows.store.verify import verify

_KILLED = """
import os, sys
from pathlib import Path
from workflows.store.collect import collect
left = int(sys.argv[2])
unlink = Path.unlink
def counted(path, missing_ok=False):
    global left
    if not path.name.endswith(".tmp"):  # those of a durable write, not of a removal
        left -= 1
        if left < 0:
            os._exit(9)
    unlink(path, missing_ok)
Path.unlink = counted
collect(Path(sys.argv[1]))
"""


@pytest.fixture
def old(store: Path) -> Path:
    make_old(store, 30)
    forget_runs(store)
    refs.tag(store, resolve(store, "docs"), "v1")
    return store


@pytest.mark.parametrize("after", [0, 1, 2, 5])
def test_killed_after_any_removal_the_next_gc_finishes(old: Path, after: int) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, old, str(after)], check=False)
    assert done.returncode == 9
    left = list(all_artifacts(old))
    assert verify(left, old).damaged == () if after == 0 else len(left) < 4
    assert all(
        not one.problems or "input" in one.problems[0] for one in verify(left, old).artifacts
    )
    touch_back(old / LOCK, 11 / 1440)
    for lease in old.glob("*/*/_lease"):
        touch_back(lease, 11 / 1440)
    collect(old)
    assert [a.manifest.name for a in all_artifacts(old)] == ["docs"]
    assert [p for p in old.glob("*/*") if p.parent.name[0] != "_"] == [resolve(old, "v1").folder]


def test_a_name_that_appears_after_the_manifest_went_brings_it_back(old: Path) -> None:
    text = resolve(old, "text")
    asked: list[bool] = []

    def keeping() -> str | None:
        asked.append((text.folder / "manifest.json").exists())
        return None if asked[-1] else "tag 'v2'"

    assert remove_folder(text.folder, keeping, time.time()) == "tag 'v2'"
    assert asked == [True, False]
    assert load(text.folder) == text
    assert verify([text], old).damaged == ()
    assert holder(text.folder / "_lease", time.time()) is None


def test_a_folder_under_lease_is_left_alone(old: Path) -> None:
    text = resolve(old, "text")
    first = claim(text.folder / "_lease", time.time())
    assert first is not None
    assert remove_folder(text.folder, lambda: None, time.time()) == "a run works there"
    assert {one.stage for one in collect(old).removed} == {"clean"}
    assert load(text.folder) == text
    first.release()
    refs.tag(old, text, "v2")
    assert not collect(old).rubbish
    assert load(text.folder) == text


def test_whoever_takes_the_lease_over_keeps_what_is_left(old: Path) -> None:
    text = resolve(old, "text")

    def keeping() -> str | None:
        if not (text.folder / "manifest.json").exists():  # frozen here; a run waited long enough
            (text.folder / "_lease" / "e0003").write_text("{}")
        return None

    why = remove_folder(text.folder, keeping, time.time())
    assert why == "a run took it over while it was being removed"
    assert all((text.folder / entry.path).exists() for entry in text.manifest.files)
    assert (text.folder / "_lease" / "e0003").exists()


def test_promises_go_before_what_they_promise(old: Path) -> None:
    text = resolve(old, "text")
    records = sorted((text.folder / "_shards").iterdir())
    assert records
    for name in ("aside/a", "checkpoints/step-1/COMPLETE.json", "checkpoints/step-1/A"):
        (text.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (text.folder / name).write_text("")
    order: list[str] = []
    sys.addaudithook(
        lambda event, args: order.append(os.fspath(args[0])) if event == "os.remove" else None
    )
    assert remove_folder(text.folder, lambda: None, time.time()) is None
    ours = [Path(p).relative_to(text.folder) for p in order
            if str(text.folder) in p and not p.endswith(".tmp")]  # fmt: skip
    assert ours[0] == Path("manifest.json")
    promises = [n for n, p in enumerate(ours)
                if p.parts[0] == "_shards" or p.name == "COMPLETE.json"]  # fmt: skip
    assert promises == list(range(1, len(records) + 2))
    assert ours[-1] == Path("_lease/e0002")
    assert not text.folder.exists()


def test_one_gc_at_a_time(old: Path) -> None:
    other = claim(old / LOCK, time.time())
    assert other is not None
    with pytest.raises(StoreError, match=r"_gc\.lock is held by run gc-.*one gc at a time"):
        collect(old)
    assert len(list(all_artifacts(old))) == 4
    other.release()
    collect(old)
    assert len(list(all_artifacts(old))) == 1
    assert holder(old / LOCK, time.time()) is None


def test_of_two_that_claim_one_epoch_one_gets_it(tmp_path: Path) -> None:
    first = claim(tmp_path / "_lease", time.time())
    assert first is not None
    assert claim(tmp_path / "_lease", time.time()) is None
    assert first.is_held()
    first.release()
    second = claim(tmp_path / "_lease", time.time())
    assert second is not None
    assert (second.epoch, first.is_held()) == (2, False)
