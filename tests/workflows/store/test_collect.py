"""What gc takes and what it leaves: roots, ancestors, generations, rubbish by age, loose files."""

import json
import os
import socket
from pathlib import Path

import pytest

from pipelines.errors import StoreError
from tests.support.kept_stores import forget_runs, make_old, touch_back, tree
from workflows import artifact as artifacts
from workflows.artifact import all_artifacts
from workflows.journal import Event, Journal
from workflows.lineage.refs import resolve
from workflows.store import refs
from workflows.store.collect import Collection, collect, survey
from workflows.store.verify import verify, with_ancestors


@pytest.fixture
def old(store: Path) -> Path:
    make_old(store, 30)
    return store


def _names(found: Collection) -> dict[str, str]:
    return {one.where: one.reason for one in found.rubbish}


def _folder(store: Path, name: str, generation: int = 1) -> Path:
    tail = f".g{generation}" if generation > 1 else ""
    found = [path for path in store.glob(f"*/{name}-*") if path.name.partition(".")[2] == tail[1:]]
    assert len(found) == 1
    return found[0]


def _where(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def test_nothing_of_recent_runs_goes(store: Path) -> None:
    assert survey(store).rubbish == ()
    assert len(survey(store).kept) == 4


def test_a_superseded_generation_goes_and_the_later_one_is_still_found(old: Path) -> None:
    first, second = _folder(old, "clean"), _folder(old, "clean", 2)
    before = tree(old)
    found = survey(old)
    assert _names(found) == {_where(first): "superseded generation"}
    assert found.bytes == sum(p.stat().st_size for p in first.rglob("*") if p.is_file())
    assert tree(old) == before
    collect(old)
    assert [path.name for path in first.iterdir()] == ["_gone.json"]
    key = resolve(old, "clean").manifest.key
    newest = artifacts.find(old, "filter", "clean", key)
    assert newest is not None
    assert newest.folder == second
    assert survey(old).rubbish == ()
    left = list(all_artifacts(old))
    assert len(left) == 3
    assert verify(left, old).damaged == ()


def test_the_latest_finished_run_of_a_recipe_is_kept_however_old(old: Path) -> None:
    kept = survey(old, keep_days=0).kept
    assert set(kept.values()) == {"latest finished run of 'small'"}
    assert set(kept) == {_where(_folder(old, n)) for n in ("docs", "text")} | {
        _where(_folder(old, "clean", 2))
    }


def test_without_names_or_runs_all_of_it_goes_leaving_no_trace(old: Path) -> None:
    forget_runs(old)
    assert len(_names(survey(old))) == 4
    collect(old)
    assert [path for path in old.glob("*/*") if path.parent.name[0] != "_"] == []


@pytest.mark.parametrize("how", ["tag", "pin"])
def test_a_name_keeps_an_artifact_and_what_it_was_built_from(old: Path, how: str) -> None:
    forget_runs(old)
    text = resolve(old, "text")
    refs.tag(old, text, "v1") if how == "tag" else refs.pin(old, text)
    done = collect(old)
    assert {one.stage for one in done.removed} == {"clean"}
    assert {a.manifest.name for a in all_artifacts(old)} == {"docs", "text"}
    assert verify(with_ancestors(text, old), old).damaged == ()


def test_what_a_recent_run_only_reused_is_kept(old: Path) -> None:
    forget_runs(old)
    text = resolve(old, "text")
    journal = Journal(old / "_runs" / "recent")
    output = {"path": str(Path("/moved/elsewhere") / _where(text.folder))}
    done = {"output": output, "cache": "reused"}
    journal.write(Event(kind="run_started", data={"recipe": "other", "run_id": "recent"}))
    journal.write(Event(kind="stage_finished", stage="text", data=done))
    journal.write(Event(kind="run_finished", data={"status": "FAILED"}))
    assert set(survey(old).kept) == {_where(text.folder), _where(_folder(old, "docs"))}
    make_old(old, 15)
    assert survey(old).kept == {}


def _a_live_run(store: Path, **event: object) -> None:
    journal = Journal(store / "_runs" / "alive")
    started = {"recipe": "other", "run_id": "alive", "pid": os.getpid()}
    journal.write(Event(kind="run_started", data={**started, "host": socket.gethostname()}))
    journal.write(Event(kind="stage_started", stage="text", data=event))


def test_a_run_that_goes_on_keeps_its_stages_however_long_it_is_silent(old: Path) -> None:
    forget_runs(old)
    text = resolve(old, "text").manifest
    _a_live_run(old, kind="extract", key=text.key, inputs={})
    touch_back(old / "_runs", 20)
    assert {one.stage for one in survey(old, keep_days=0).rubbish} == {"clean"}
    (_folder(old, "text") / "manifest.json").unlink()  # it is being built again
    rubbish = _names(survey(old, keep_days=0))
    assert _where(_folder(old, "text")) not in rubbish


def _lease(folder: Path, minutes: float, **who: object) -> None:
    lease = folder / "_lease"
    lease.mkdir(exist_ok=True)
    (lease / "e0001").write_text(json.dumps({"run_id": "r"}))
    (lease / "e0001.released").write_text("")
    (lease / "e0002").write_text(json.dumps({"run_id": "r", **who}))
    touch_back(lease, minutes / 1440)


def test_a_live_lease_keeps_a_folder_and_a_silent_one_does_not(old: Path) -> None:
    forget_runs(old)
    clean = _folder(old, "clean", 2)
    _lease(clean, 5)
    assert {one.stage for one in survey(old).rubbish} == {"clean"}
    assert "in use by run r" in survey(old).kept[_where(clean)]
    touch_back(clean / "_lease", 11 / 1440)
    assert _where(clean) in _names(survey(old))
    (clean / "_lease" / "e0002.hb").write_text("")
    assert _where(clean) not in _names(survey(old))
    touch_back(clean / "_lease", 1)
    here = {"run_id": "r", "pid": os.getpid(), "host": socket.gethostname()}
    (clean / "_lease" / "e0002").write_text(json.dumps(here))
    touch_back(clean / "_lease", 1)
    assert _where(clean) not in _names(survey(old))
    (clean / "_lease" / "e0002.released").write_text("")
    touch_back(clean / "_lease", 1)
    assert _where(clean) in _names(survey(old))


def test_uncommitted_folders_go_after_a_week_of_silence(store: Path) -> None:
    folder = store / "extract" / "text-0123456789ab"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "part.parquet").write_bytes(b"x" * 10)
    (folder / "data" / "other.parquet").write_bytes(b"x" * 10)
    touch_back(folder, 6)
    assert survey(store).rubbish == ()
    touch_back(folder, 8)
    (one,) = survey(store).rubbish
    assert (one.reason, one.stage, one.bytes) == ("uncommitted", "text", 20)
    os.utime(folder / "data" / "other.parquet")
    assert survey(store).rubbish == ()
    touch_back(folder, 8)
    _lease(folder, 1)
    assert survey(store).rubbish == ()
    touch_back(folder / "_lease", 1)
    collect(store)
    assert not folder.exists()
    assert len(list(all_artifacts(store))) == 4


def test_loose_files_of_a_kept_artifact_go_after_a_week_but_not_from_a_pinned_one(
    store: Path,
) -> None:
    text = resolve(store, "text")
    loose = {
        "data/part-00000.deadbeef.parquet": "orphan file",
        "data/.part.0123.tmp": "temporary file",
        "checkpoints/step-000100.ab/state/a.pt": "finished training's checkpoints",
    }
    for name in [*loose, "checkpoints/metrics.jsonl", "_shards/00009.json"]:
        (text.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (text.folder / name).write_bytes(b"12345")
    assert survey(store).rubbish == ()
    touch_back(text.folder, 8)
    found = {one.files[0].relative_to(text.folder).as_posix(): one.reason
             for one in survey(store).rubbish}  # fmt: skip
    assert found == loose
    refs.pin(store, text)
    assert survey(store).rubbish == ()
    refs.unpin(store, text)
    collect(store)
    assert not (text.folder / "checkpoints/step-000100.ab").exists()
    assert (text.folder / "checkpoints/metrics.jsonl").exists()
    assert (text.folder / "_shards/00009.json").exists()
    assert verify([text], store).damaged == ()


def test_caches_and_temporary_files_go_by_age(store: Path) -> None:
    (store / "_cache").mkdir(exist_ok=True)
    young = set(tree(store))
    for name in ("_cache/remembered.json", "_runs/.events.0.tmp"):
        (store / name).write_text("{}")
        touch_back(store / name, 8)
    assert {p.reason for p in survey(store).rubbish} == {"temporary file"}
    touch_back(store / "_cache/remembered.json", 15)
    collect(store)
    assert {name for name in tree(store) if "_gc.lock" not in name} == young


def test_what_cannot_be_read_stops_a_gc_before_anything_goes(old: Path) -> None:
    before = tree(old)
    refs.tag(old, resolve(old, "text"), "v1")
    (old / "_refs/tags/v1.json").write_text("{}")
    with pytest.raises(StoreError, match="not a tag or pin"):
        collect(old)
    (old / "_refs/tags/v1.json").unlink()
    journal = next(old.glob("_runs/*/events.jsonl"))
    whole = journal.read_bytes()
    journal.write_bytes(b"garbage\n" + whole)
    with pytest.raises(StoreError, match=r"events\.jsonl:1: not an event"):
        collect(old)
    journal.write_bytes(whole + b'{"kind":"torn')
    assert len(survey(old).rubbish) == 1
    manifest = _folder(old, "clean") / "manifest.json"
    text = manifest.read_text()
    manifest.write_text("{}")
    with pytest.raises(StoreError, match="not a manifest"):
        collect(old)
    manifest.write_text(text)
    journal.write_bytes(whole)
    assert {n: s for n, s in tree(old).items() if "_gc.lock" not in n} == before


def test_a_missing_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        survey(tmp_path / "none")
    assert not (tmp_path / "none").exists()
