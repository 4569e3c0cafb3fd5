"""Runs: side by side, tried again, timed, stopped and gone on with, checked, selected."""

import threading
import time
from pathlib import Path

import pytest

from pipelines.errors import InputError, WorkerError
from tests.support.runs import SHARDS, Watched, digests, load, runner, write_recipe
from workflows import quarantine
from workflows.conductor import CANCEL
from workflows.errors import InterruptedRun, QuarantineError, StageError, UsageError
from workflows.journal import Journal, runs_folder
from workflows.plan import Planner
from workflows.runner import Runner


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    return write_recipe(tmp_path)


def verdicts(path: Path, **settings: str) -> dict[str, tuple[str, str]]:
    recipe = load(path, **settings)
    plan = Planner(Path(recipe.store), path.parent).plan(recipe)
    return {planned.stage.name: (planned.verdict, planned.why) for planned in plan}


def events(one: Runner, kind: str) -> list[str | None]:
    journal = Journal(runs_folder(one.planner.store) / one.run_id)
    return [event.stage for event in journal.events() if event.kind == kind]


def test_independent_stages_run_at_the_same_time(recipe_file: Path) -> None:
    both = threading.Barrier(2, timeout=30)

    def meet(stage: str, shard: str) -> None:
        if stage in ("clean", "other") and shard == "00000":
            both.wait()

    result = runner(load(recipe_file), Watched(meet, cpus=4)).run(load(recipe_file))
    assert {done.cache for done in result.stages} == {"ran"}


def test_stages_share_what_the_machine_has(recipe_file: Path) -> None:
    running: set[str] = set()
    together: list[set[str]] = []

    def note(stage: str, _shard: str) -> None:
        running.add(stage)
        together.append(set(running))
        time.sleep(0.01)
        running.discard(stage)

    recipe = load(recipe_file, clean__resources__cpus_per_worker="2")
    runner(recipe, Watched(note, cpus=4)).run(recipe)
    assert {"clean", "other"} not in together  # 4 + 1 of 4 CPUs
    assert {"clean"} in together


def test_what_may_pass_is_tried_again(recipe_file: Path) -> None:
    faults = [WorkerError("the node went away", may_pass=True), ConnectionError("reset")]

    def fail(stage: str, shard: str) -> None:
        if stage == "clean" and shard == "00003" and faults:
            raise faults.pop()

    executor = Watched(fail)
    one = runner(load(recipe_file), executor)
    one.run(load(recipe_file))
    assert events(one, "stage_retried") == ["clean", "clean"]
    assert executor.of("clean") == sorted(executor.of("clean"))
    assert len(executor.of("clean")) == SHARDS  # finished shards were not computed again


def test_what_cannot_pass_is_not(recipe_file: Path) -> None:
    calls: list[str] = []

    def fail(stage: str, _shard: str) -> None:
        calls.append(stage)
        if stage == "clean":
            raise InputError("a document that no one can read")

    one = runner(load(recipe_file), Watched(fail))
    with pytest.raises(StageError, match="a document that no one can read"):
        one.run(load(recipe_file))
    assert calls.count("clean") == 1
    assert events(one, "stage_retried") == []
    assert events(one, "stage_failed") == ["clean"]


def test_a_time_out_keeps_what_was_finished(recipe_file: Path) -> None:
    recipe = load(recipe_file, clean__resources__timeout="0.3s")
    slow = Watched(lambda stage, _shard: time.sleep(0.2 if stage == "clean" else 0))
    with pytest.raises(StageError, match=r"longer than its time-out of 0 s.*resources"):
        runner(recipe, slow).run(recipe)
    kept = len(slow.of("clean"))
    assert 0 < kept < SHARDS
    assert verdicts(recipe_file)["clean"] == (
        "RESUME",
        f"{kept} finished shards kept from a run that ended early",
    )
    rest = Watched()
    runner(load(recipe_file), rest).run(load(recipe_file))
    assert len(rest.of("clean")) == SHARDS - kept


def test_keep_going_runs_what_does_not_follow_from_the_failure(recipe_file: Path) -> None:
    def fail(stage: str, _shard: str) -> None:
        if stage == "clean":
            raise InputError("broken")

    recipe = load(recipe_file)
    with pytest.raises(StageError):
        runner(recipe, Watched(fail), keep_going=True).run(recipe)
    now = {name: verdict for name, (verdict, _) in verdicts(recipe_file).items()}
    assert now["other"] == "REUSE"
    assert now["unique"] == "RUN"


def test_without_it_nothing_new_is_started(recipe_file: Path) -> None:
    def fail(stage: str, _shard: str) -> None:
        if stage == "clean":
            raise InputError("broken")

    recipe = load(recipe_file)
    one = runner(recipe, Watched(fail))
    with pytest.raises(StageError):
        one.run(recipe)
    assert "other" not in events(one, "stage_started")


def test_asked_to_finish_it_ends_after_the_shard_in_flight(recipe_file: Path) -> None:
    recipe = load(recipe_file)
    undisturbed = digests(runner(recipe).run(recipe))
    recipe = load(write_recipe(recipe_file.parent, store="second"))

    def ask(stage: str, shard: str) -> None:
        if stage == "clean" and shard == "00002":
            one.finish_soon()
            time.sleep(0.5)  # the sign needs a moment to reach the store

    executor = Watched(ask)
    one = runner(recipe, executor)
    with pytest.raises(InterruptedRun):
        one.run(recipe)
    assert executor.of("clean") == ["00000", "00001", "00002"]
    assert events(one, "stage_stopped") == ["clean"]
    rest = Watched()
    again = runner(recipe, rest).run(recipe)
    assert rest.of("clean") == [f"{number:05d}" for number in range(3, SHARDS)]
    assert {done.stage.name: done.cache for done in again.stages}["clean"] == "resumed"
    assert digests(again) == undisturbed


def test_a_run_can_be_cancelled_through_the_store(recipe_file: Path) -> None:
    recipe = load(recipe_file)

    def ask(stage: str, shard: str) -> None:
        if stage == "clean":
            (runs_folder(Path(recipe.store)) / one.run_id / CANCEL).touch()
            time.sleep(0.5)

    one = runner(recipe, Watched(ask))
    with pytest.raises(InterruptedRun):
        one.run(recipe)


def test_a_failed_check_puts_the_result_into_quarantine(recipe_file: Path) -> None:
    strict = load(recipe_file).stage("clean").model_copy(
        update={"checks": load(recipe_file).stage("clean").checks.model_copy(
            update={"keep_share": (0.0, 0.5)})}
    )  # fmt: skip
    recipe = load(recipe_file)
    stages = tuple(strict if s.name == "clean" else s for s in recipe.stages)
    recipe = recipe.model_copy(update={"stages": stages})
    executor = Watched()
    with pytest.raises(QuarantineError, match=r"keep_share: 0\.\d+ kept, allowed 0 to 0.5"):
        runner(recipe, executor).run(recipe)
    verdict, why = verdicts(recipe_file)["clean"]
    assert verdict == "RESUME"
    assert why.startswith("quarantined: keep_share")
    with pytest.raises(QuarantineError):  # not computed again, examined again
        runner(recipe, executor).run(recipe)
    assert len(executor.of("clean")) == SHARDS
    folder = quarantine.find(Path(recipe.store), "clean")
    accepted = quarantine.accept(folder, by="ana", note="this corpus is like that")
    assert accepted.manifest.accepted is not None
    assert "ana: this corpus" in accepted.manifest.accepted
    assert verdicts(recipe_file)["clean"][0] == "REUSE"
    with pytest.raises(UsageError, match="there is nothing"):
        quarantine.find(Path(recipe.store), "clean")


def test_a_mended_check_lets_the_same_result_pass(recipe_file: Path) -> None:
    recipe = load(recipe_file)
    text = recipe_file.read_text()
    line = "  clean: {kind: filter, needs: text, "
    recipe_file.write_text(text.replace(line, line + "checks: {min_rows: 9999}, "))
    with pytest.raises(QuarantineError, match="min_rows"):
        runner(recipe, Watched()).run(load(recipe_file))
    recipe_file.write_text(text)
    executor = Watched()
    runner(recipe, executor).run(recipe)
    assert executor.of("clean") == []


def test_only_selected_stages_run(recipe_file: Path) -> None:
    recipe = load(recipe_file)
    with pytest.raises(UsageError, match=r"need 'docs', which is not selected.*--select \+STAGE"):
        runner(recipe, only=frozenset({"clean"})).run(recipe)
    before = recipe.only(frozenset({"docs", "text"}))
    runner(before).run(before)
    cut = recipe.only(frozenset({"docs", "text", "clean"}))
    executor = Watched()
    result = runner(cut, executor, only=frozenset({"clean"})).run(cut)
    assert {done.stage.name: done.cache for done in result.stages} == {
        "docs": "reused",
        "text": "reused",
        "clean": "ran",
    }
