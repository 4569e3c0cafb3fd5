"""Plans and runs of a small real recipe, in this process: no Ray, everything else as it is."""

import json
from pathlib import Path

import pytest

from pipelines.executors import InProcess
from tests.support.documents import write_jsonl
from workflows import artifact as artifacts
from workflows.errors import StageError
from workflows.plan import Planner
from workflows.recipe import Recipe, load_recipe
from workflows.runner import Runner, RunResult

RECIPE = """\
name: small
store: {store}
stages:
  docs: {{kind: source, config: {{paths: [{data}]}}}}
  text: {{kind: extract, needs: docs}}
  clean:
    kind: filter
    needs: text
    config: {{rules: [gopher], languages: [en], min_language_score: 0.1}}
  unique: {{kind: dedup, needs: clean}}
  bpe: {{kind: tokenizer, needs: unique, config: {{vocab_size: 400}}}}
  tokens:
    kind: tokens
    needs: {{documents: unique, tokenizer: bpe}}
    config: {{sequence_length: 64, validation_share: 0.2}}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "a.jsonl", 12)
    write_jsonl(tmp_path / "data" / "b.jsonl", 12, start=100)
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE.format(store=tmp_path / "store", data=tmp_path / "data"))
    return path


def _load(path: Path, **settings: str) -> Recipe:
    return load_recipe(path, {key.replace("__", "."): value for key, value in settings.items()})


def _run(path: Path, *, force: frozenset[str] = frozenset(), **settings: str) -> RunResult:
    recipe = _load(path, **settings)
    planner = Planner(Path(recipe.store), path.parent, force=force)
    return Runner(planner, InProcess()).run(recipe)


def _plan(path: Path, **settings: str) -> dict[str, tuple[str, str]]:
    recipe = _load(path, **settings)
    plan = Planner(Path(recipe.store), path.parent).plan(recipe)
    return {planned.stage.name: (planned.verdict, planned.why) for planned in plan}


def test_the_first_plan_runs_everything_and_writes_nothing(recipe_file: Path) -> None:
    plan = _plan(recipe_file)
    assert [verdict for verdict, _ in plan.values()] == ["RUN"] * 6
    assert plan["docs"] == ("RUN", "never built")
    assert not (recipe_file.parent / "store").exists()


def test_a_second_run_reuses_everything(recipe_file: Path) -> None:
    first = _run(recipe_file)
    assert {s.cache for s in first.stages} == {"ran"}
    assert {verdict for verdict, _ in _plan(recipe_file).values()} == {"REUSE"}
    second = _run(recipe_file)
    assert {s.cache for s in second.stages} == {"reused"}
    assert all(first.run_id in s.why for s in second.stages)


def test_every_ledger_balances_and_feeds_the_next(recipe_file: Path) -> None:
    stages = {s.stage.name: s.artifact.manifest for s in _run(recipe_file).stages}
    assert stages["text"].ledger.entered.rows == 28
    for before, after in (("text", "clean"), ("clean", "unique"), ("unique", "tokens")):
        assert stages[before].ledger.kept == stages[after].ledger.entered
    assert stages["clean"].ledger.dropped["gopher_short_doc"].rows == 2
    assert stages["unique"].ledger.dropped["duplicate_exact"].rows == 2


def test_a_changed_threshold_reruns_the_filter_and_what_its_content_changes(
    recipe_file: Path,
) -> None:
    _run(recipe_file)
    changed = {"clean__limits": "{gopher_short_doc: 2, gopher_enough_stop_words: 0}"}
    plan = _plan(recipe_file, **changed)
    assert plan["text"][0] == "REUSE"
    assert plan["clean"][0] == "RUN"
    assert "config.limits.gopher_short_doc: None -> 2.0" in plan["clean"][1]
    assert plan["unique"][0] == "MAYBE"
    ran = {s.stage.name: s.cache for s in _run(recipe_file, **changed).stages}
    assert ran["text"] == "reused"
    assert ran["clean"] == ran["unique"] == "ran"


def test_a_threshold_that_changes_no_document_leaves_the_rest_reused(recipe_file: Path) -> None:
    _run(recipe_file)
    ran = {
        s.stage.name: s.cache
        for s in _run(recipe_file, clean__limits="{gopher_short_doc: 49}").stages
    }
    assert ran["clean"] == "ran"
    assert ran["unique"] == ran["tokens"] == "reused"


def test_a_new_file_is_seen_and_named(recipe_file: Path) -> None:
    _run(recipe_file)
    write_jsonl(recipe_file.parent / "data" / "c.jsonl", 3, start=500)
    verdict, why = _plan(recipe_file)["docs"]
    assert verdict == "RUN"
    assert "files: 2 -> 3" in why


def test_a_moved_corpus_leaves_everything_behind_the_listing_reused(recipe_file: Path) -> None:
    _run(recipe_file)
    home = recipe_file.parent
    (home / "data").rename(home / "moved")
    recipe_file.write_text(RECIPE.format(store=home / "store", data=home / "moved"))
    ran = {s.stage.name: s.cache for s in _run(recipe_file).stages}
    assert ran.pop("docs") == "ran"
    assert set(ran.values()) == {"reused"}


def test_damage_is_noticed_and_repaired(recipe_file: Path) -> None:
    first = _run(recipe_file)
    clean = next(s.artifact for s in first.stages if s.stage.name == "clean")
    victim = clean.folder / clean.manifest.files[0].path
    victim.write_bytes(victim.read_bytes()[:-5])
    verdict, why = _plan(recipe_file)["clean"]
    assert verdict == "RUN"
    assert victim.name in why
    repaired = next(s for s in _run(recipe_file).stages if s.stage.name == "clean")
    assert repaired.artifact.manifest.digest == clean.manifest.digest
    assert repaired.artifact.folder != clean.folder
    assert {verdict for verdict, _ in _plan(recipe_file).values()} == {"REUSE"}


def test_force_builds_a_new_generation_with_the_same_content(recipe_file: Path) -> None:
    first = {s.stage.name: s for s in _run(recipe_file).stages}
    forced = {s.stage.name: s for s in _run(recipe_file, force=frozenset({"unique"})).stages}
    assert forced["unique"].cache == "ran"
    assert forced["unique"].artifact.folder.name.endswith(".g2")
    old, new = first["unique"].artifact.manifest, forced["unique"].artifact.manifest
    assert old.digest == new.digest
    assert forced["tokens"].cache == "reused"


def test_a_run_cut_short_resumes_from_its_shards(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dies(InProcess):
        def map_units(self, factory, units, resources, finished, stop):  # type: ignore[no-untyped-def]
            if units[0]["shard"] == "00000" and len(units) > 1:
                super().map_units(factory, units[:1], resources, finished, stop)
                raise KeyboardInterrupt
            return super().map_units(factory, units, resources, finished, stop)

    recipe = _load(recipe_file, text__unit_bytes="4000")
    planner = Planner(Path(recipe.store), recipe_file.parent)
    with pytest.raises(KeyboardInterrupt):
        Runner(planner, Dies()).run(recipe)
    plan = _plan(recipe_file, text__unit_bytes="4000")
    assert plan["text"] == ("RESUME", "1 finished shards kept from a run that ended early")
    ran = {s.stage.name: s.cache for s in _run(recipe_file, text__unit_bytes="4000").stages}
    assert ran["docs"] == "reused"
    assert ran["text"] == "resumed"


def test_a_failed_stage_publishes_nothing(recipe_file: Path) -> None:
    (recipe_file.parent / "data" / "bad.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00garbage")
    with pytest.raises(StageError, match=r"bad\.jsonl\.gz.*broken_files: set_aside"):
        _run(recipe_file)
    store = recipe_file.parent / "store"
    assert [a.manifest.name for a in artifacts.all_artifacts(store)] == ["docs"]
    ran = {s.stage.name: s.cache for s in _run(recipe_file, text__broken_files="set_aside").stages}
    assert ran["docs"] == "reused"
    assert ran["text"] == "ran"


def test_the_journal_tells_the_whole_run(recipe_file: Path) -> None:
    result = _run(recipe_file)
    path = result.store / "_runs" / result.run_id / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert events[0]["kind"] == "run_started"
    assert next(row["name"] for row in events[0]["data"]["plan"]) == "docs"
    assert events[-1]["kind"] == "run_finished"
    assert events[-1]["data"] == {"status": "FINISHED"}
    finished = [e for e in events if e["kind"] == "stage_finished"]
    assert [e["stage"] for e in finished] == [s.stage.name for s in result.stages]
    assert finished[1]["data"]["ledger"]["entered"]["rows"] == 28
