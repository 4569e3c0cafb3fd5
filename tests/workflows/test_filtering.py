"""A filtering job without a recipe: what rules did is counted right, and other limits as well."""

from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from filters.errors import FilterError
from pipelines.filter import FAILURES
from pipelines.shards import read_table
from tests.support.runs import load, runner, write_recipe
from workflows import filtering
from workflows.artifact import Artifact
from workflows.errors import UsageError
from workflows.filtering import RuleShare


@pytest.fixture
def filtered(tmp_path: Path) -> Artifact:
    runner(load(write_recipe(tmp_path))).run(load(tmp_path / "small.yaml"))
    found = [a for a in filtering.all_artifacts(tmp_path / "store") if a.manifest.name == "clean"]
    return found[0]


def test_shares_are_the_ledgers_and_a_rule_alone_is_counted(filtered: Artifact) -> None:
    ledger = filtered.manifest.ledger
    found = filtering.shares(filtered)
    assert {one.rule: one.reason for one in found if one.reason} == {
        rule: count.rows for rule, count in ledger.dropped.items()
    }
    assert all(one.alone <= one.reason <= one.fails for one in found)
    assert sum(one.reason for one in found) == ledger.dropped_total.rows > 0
    rejects = filtered.as_input().paths("rejects")
    assert filtering.counted(pa.concat_tables(map(read_table, rejects))) == found
    assert not [name for name in filtered.manifest.metrics if "/" in name]


def test_the_same_limits_judge_the_same_and_others_as_a_run_would(
    filtered: Artifact, tmp_path: Path
) -> None:
    same = filtering.rejudged(filtered, filtering.with_limits(filtered, {}))
    assert same == (filtered.manifest.ledger.kept.rows, filtering.shares(filtered))

    loose = {"gopher_short_doc": 2.0, "gopher_enough_stop_words": 0.0}
    kept, found = filtering.rejudged(filtered, filtering.with_limits(filtered, loose))
    again = load(tmp_path / "small.yaml", clean__limits=str(loose).replace("'", ""))
    result = runner(again).run(again)
    clean = next(done.artifact for done in result.stages if done.stage.name == "clean")
    assert kept == clean.manifest.ledger.kept.rows > filtered.manifest.ledger.kept.rows
    assert found == filtering.shares(clean)


def test_an_unknown_rule_is_named_with_the_nearest(filtered: Artifact) -> None:
    with pytest.raises(FilterError, match="did you mean 'gopher_short_doc'"):
        filtering.with_limits(filtered, {"gopher_short": 3})


def test_the_recipe_that_is_written_is_the_job(tmp_path: Path) -> None:
    config = {"rules": ["gopher"], "limits": {"gopher_short_doc": 20.0}}
    text = filtering.recipe_text(["in put"], tmp_path / "out", config, dedup="exact", workers=3)
    value = yaml.safe_load(text)
    assert list(value["stages"]) == ["documents", "text", "clean", "unique"]
    assert value["stages"]["documents"]["config"]["paths"] == [str(Path("in put").absolute())]
    (tmp_path / "filter.yaml").write_text(text)
    assert load(tmp_path / "filter.yaml").stage("clean").resources.workers == 3


def test_the_table_says_what_each_rule_costs() -> None:
    found = [RuleShare("short", 30, 40, 10), RuleShare("bullets", 0, 5, 0)]
    lines = filtering.breakdown(200, 170, found).splitlines()
    assert lines[1].split() == ["short", "30", "40", "10", "5.0%"]
    assert lines[2].split() == ["bullets", "0", "5", "0", "0.0%"]
    assert lines[-1] == "kept 170 of 200 documents (85.0%)"


def test_signatures_of_the_filter_s_pass_spare_dedup_its_own(tmp_path: Path) -> None:
    recipe = load(write_recipe(tmp_path))
    plain = runner(recipe).run(recipe)
    recipe = load(write_recipe(tmp_path, store="other"), clean__signatures="true")
    fused = runner(recipe).run(recipe)
    made = {done.stage.name: done.artifact.manifest for done in fused.stages}
    before = {done.stage.name: done.artifact.manifest for done in plain.stages}
    assert before["unique"].metrics["sketches_reused"] == 0
    assert made["unique"].metrics["sketches_reused"] == made["clean"].ledger.kept.rows > 0
    assert made["unique"].digest == before["unique"].digest


def test_the_job_s_own_result_is_asked_not_the_newest(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_recipe(tmp_path)
    kept = []
    for limit in (2.0, 50.0, 2.0):  # the third run reuses the first
        limits = {"gopher_short_doc": limit, "gopher_enough_stop_words": 0.0}
        config = {"rules": ["gopher"], "min_language_score": 0.1, "limits": limits}
        text = filtering.recipe_text([str(tmp_path / "data")], out, config, dedup="none", workers=1)
        out.mkdir(exist_ok=True)
        (out / "filter.yaml").write_text(text)
        recipe = load(out / "filter.yaml")
        runner(recipe).run(recipe)
        kept.append(filtering.filtered_in(out).manifest.ledger.kept.rows)
    assert kept[0] == kept[2] > kept[1]


def test_what_was_filtered_before_filters_counted_is_counted_from_its_verdicts(
    filtered: Artifact,
) -> None:
    info = {name: value for name, value in filtered.manifest.info.items() if name != FAILURES}
    older = filtered.model_copy(
        update={"manifest": filtered.manifest.model_copy(update={"info": info})}
    )
    assert older.manifest.info != filtered.manifest.info
    assert filtering.shares(older) == filtering.shares(filtered)


def test_statistics_of_other_code_are_refused(filtered: Artifact) -> None:
    filtering.refuse_stale(filtered)
    parts = {**filtered.manifest.code_parts, "filters.features.compute": "0"}
    changed = {"code_hash": "0", "code_parts": parts}
    stale = filtered.model_copy(update={"manifest": filtered.manifest.model_copy(update=changed)})
    with pytest.raises(UsageError, match=r"code that has changed \(.*filters.features.compute"):
        filtering.refuse_stale(stale)
