"""Two runs at once, frozen owners that wake up, torn writes: the first commit wins."""

import json
import threading
from pathlib import Path

import pytest

from pipelines import storage
from pipelines.errors import StoreError
from pipelines.executors import InProcess
from tests.support.runs import SHARDS, Watched, digests, load, runner, write_recipe
from workflows import artifact as artifacts
from workflows.lease import Beat, Holder, highest_epoch
from workflows.liveness import Process
from workflows.plan import Planner
from workflows.runner import RunResult

ELSEWHERE = Process(host="another-host", machine="its boot", pid=4711, born=1)


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, str]:
    recipe = load(write_recipe(tmp_path, store="undisturbed"))
    return digests(runner(recipe).run(recipe))


@pytest.fixture
def recipe_file(tmp_path: Path, undisturbed: dict[str, str]) -> Path:
    assert undisturbed
    return write_recipe(tmp_path)


def folder_of(path: Path, stage: str) -> Path:
    recipe = load(path)
    (folder,) = (Path(recipe.store) / recipe.stage(stage).kind).glob(f"{stage}-*")
    return folder


def test_two_runs_at_once_compute_each_shard_once(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    path = write_recipe(tmp_path)
    executor = Watched()
    results: list[RunResult] = []
    start = threading.Barrier(2)

    def go() -> None:
        recipe = load(path)
        start.wait()
        results.append(runner(recipe, executor).run(recipe))

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [digests(result) for result in results] == [undisturbed, undisturbed]
    assert sorted(executor.of("clean")) == [f"{n:05d}" for n in range(SHARDS)]
    whys = {done.why.split(" run ")[0] for result in results for done in result.stages}
    assert "built meanwhile by" in whys


def test_a_run_that_lost_its_lease_stops_waits_and_goes_on(
    recipe_file: Path, undisturbed: dict[str, str]
) -> None:
    """Another host takes over, says nothing, counts as dead: the first finishes after all."""
    taken = threading.Event()

    def lose(stage: str, shard: str) -> None:
        if stage == "clean" and shard == "00004" and not taken.is_set():
            taken.set()
            payload = Holder(run_id="other", process=ELSEWHERE).model_dump_json().encode()
            lease = folder_of(recipe_file, "clean") / "_lease" / "e0002"
            assert storage.put_if_absent(lease, payload)

    executor = Watched(lose)
    recipe = load(recipe_file)
    result = runner(recipe, executor).run(recipe)
    assert digests(result) == undisturbed
    assert highest_epoch(folder_of(recipe_file, "clean")) == 3
    assert len(executor.of("clean")) == SHARDS  # the shard in flight was not lost


def test_of_two_commits_the_first_wins_and_the_other_adopts_it(
    recipe_file: Path, undisturbed: dict[str, str]
) -> None:
    """A zombie: it was frozen through a takeover, and publishes when its work was published."""
    recipe = load(recipe_file)
    other = Watched()
    woken = threading.Event()

    def overtake(stage: str, shard: str) -> None:
        if stage == "clean" and shard == f"{SHARDS - 1:05d}" and not woken.is_set():
            woken.set()
            lease = folder_of(recipe_file, "clean") / "_lease" / "e0001.released"
            storage.put_if_absent(lease, b"")  # what a time to live of silence would do
            fast.append(runner(recipe, other).run(recipe))

    fast: list[RunResult] = []
    slow = runner(recipe, Watched(overtake)).run(recipe)
    assert digests(slow) == digests(fast[0]) == undisturbed
    cache = {done.stage.name: (done.cache, done.why) for done in slow.stages}
    assert cache["clean"] == ("reused", f"built meanwhile by run {fast[0].run_id}")
    manifest = json.loads((folder_of(recipe_file, "clean") / "manifest.json").read_text())
    assert manifest["run_id"] == fast[0].run_id
    assert artifacts.missing_files(fast[0].stages[2].artifact) == []


def test_torn_writes_are_not_taken_for_results(
    recipe_file: Path, undisturbed: dict[str, str]
) -> None:
    recipe = load(recipe_file)
    runner(recipe).run(recipe)
    folder = folder_of(recipe_file, "clean")
    (folder / "manifest.json").unlink()
    (folder / "data" / ".part-00001.x.parquet.aa.tmp").write_bytes(b"PAR1 torn")
    (folder / ".manifest.json.aa.tmp").write_bytes(b"{")
    (folder / "_lease" / ".e0002.aa.tmp").write_bytes(b"{")
    victim = next(folder.glob("data/part-00002.*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-20])
    executor = Watched()
    again = runner(load(recipe_file), executor).run(recipe)
    assert executor.of("clean") == ["00002"]
    assert digests(again) == undisturbed


def test_a_torn_beat_or_epoch_does_not_end_a_run(recipe_file: Path) -> None:
    recipe = load(recipe_file)
    before = recipe.only(frozenset({"docs", "text"}))
    runner(before).run(before)
    planned = Planner(Path(recipe.store), recipe_file.parent).plan(recipe)
    identity = next(p.identity for p in planned if p.stage.name == "clean")
    assert identity is not None
    folder = artifacts.folder_of(Path(recipe.store), "filter", "clean", identity.key)
    (folder / "_lease").mkdir(parents=True)
    (folder / "_lease" / "e0001").write_bytes(b'{"run_id": "ha')
    (folder / "_lease" / "e0001.beat").write_bytes(b"{")
    result = runner(recipe).run(recipe)
    assert {done.stage.name: done.cache for done in result.stages}["clean"] == "ran"


def test_who_waits_hears_how_far_the_other_is(recipe_file: Path) -> None:
    recipe = load(recipe_file)
    before = recipe.only(frozenset({"docs", "text"}))
    runner(before).run(before)
    planned = Planner(Path(recipe.store), recipe_file.parent).plan(recipe)
    identity = next(p.identity for p in planned if p.stage.name == "clean")
    assert identity is not None
    folder = artifacts.folder_of(Path(recipe.store), "filter", "clean", identity.key)
    payload = Holder(run_id="20261124-other", process=ELSEWHERE).model_dump_json().encode()
    storage.put_if_absent(folder / "_lease" / "e0001", payload)
    beat = Beat(number=1, progress={"done": 3, "total": 12, "unit": "units"})
    storage.write_bytes(folder / "_lease" / "e0001.beat", beat.model_dump_json().encode())
    heard: list[str] = []

    class Ear:
        def said(self, stage: object, message: str) -> None:
            heard.append(message)

        def stage_started(self, planned: object) -> None: ...
        def progressed(self, stage: object, progress: object) -> None: ...
        def stage_finished(self, result: object) -> None: ...
        def stage_ended(self, stage: object) -> None: ...

    runner(recipe, listeners=(Ear(),)).run(recipe)  # the silent one counts as dead in the end
    assert heard[0] == (
        "WAITS   run 20261124-other on another-host (pid 4711) works on it, 3/12 units"
    )


def test_a_read_only_store_says_what_to_do(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write anywhere, so the refusal is made where the system would make it."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    recipe = load(recipe_file)
    with pytest.raises(StoreError, match="Name a folder that you may write to"):
        runner(recipe, InProcess()).run(recipe)
