"""What differs between runs, what explains it, and what nothing explains."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import llada
from tests.support.stores import SmallStore, publish
from workflows.artifact import MANIFEST
from workflows.errors import RefError
from workflows.journal import Event, Journal, runs_folder
from workflows.lineage.compare import Comparison, StageChange, compare
from workflows.lineage.compare_text import comparison_json, comparison_text
from workflows.lineage.runs import Side, StageRecord, find_run, side_of_run, sides


def stages(found: Comparison) -> dict[str, StageChange]:
    return {one.name: one for one in found.stages}


def between(small: SmallStore, a: str, b: str) -> Comparison:
    return compare(*sides(small.store, a, b))


def told(one: StageChange) -> dict[tuple[str, str], tuple[Any, Any]]:
    return {(d.where, d.field): (d.a, d.b) for d in one.differences}


def test_a_changed_field_explains_every_stage_after_it(small: SmallStore) -> None:
    found = stages(between(small, "last~2", "last~1"))
    assert {name: one.state for name, one in found.items()} == {
        "docs": "same", "text": "same", "clean": "changed", "unique": "changed",
        "bpe": "changed", "tokens": "changed",
    }  # fmt: skip
    assert told(found["clean"])["config", "limits.gopher_short_doc"] == (None, 2.0)
    assert told(found["clean"])["ledger", "dropped gopher_short_doc"] == (2, 0)
    assert ("input", "documents") in told(found["unique"])
    for name in ("clean", "unique", "bpe", "tokens"):
        assert {cause.stage for cause in found[name].causes} == {"clean"}
        assert found[name].unexplained == ""
    assert {cause.of.field for cause in between(small, "last~2", "last~1").roots} == {
        "limits.gopher_short_doc",
        "limits.gopher_enough_stop_words",
    }


def test_another_rule_with_the_same_result_is_no_changed_result(small: SmallStore) -> None:
    found = stages(between(small, small.runs[0], "last"))
    assert found["clean"].state == "same content"
    assert {one.state for name, one in found.items() if name != "clean"} == {"same"}
    assert "0 of 6 stages hold another result" in comparison_text(
        between(small, small.runs[0], "last")
    )


def test_artifacts_are_compared_with_all_they_were_made_from(small: SmallStore) -> None:
    first, second = small.node("tokens"), small.node("tokens", run=1)
    found = stages(between(small, first.label, second.label))
    assert list(found) == ["docs", "text", "clean", "unique", "bpe", "tokens"]
    assert {cause.stage for cause in found["tokens"].causes} == {"clean"}


def test_two_artifacts_of_other_names_are_a_pair(tmp_path: Path) -> None:
    for name, config in (("lr-1", {"lr": 1}), ("lr-2", {"lr": 2})):
        publish(tmp_path, name, config=config)
    (found,) = compare(*sides(tmp_path, "lr-1", "lr-2")).stages
    assert found.state == "changed"
    assert told(found)["config", "lr"] == (1, 2)


def edited(small: SmallStore, name: str, run: int, **values: Any) -> None:
    """Rewrite a manifest, as another history would have written it."""
    path = small.node(name, run=run).folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_changed_functions_are_named_and_explain(own_small: SmallStore) -> None:
    parts = own_small.node("clean").load().manifest.code_parts
    edited(own_small, "clean", 1, code_hash="other", code_parts={**parts, "filters.x.new": "1"})
    found = stages(between(own_small, "last~2", "last~1"))
    assert told(found["clean"])["code", "filters.x.new"] == (None, "1")
    assert "code" in {cause.of.where for cause in found["tokens"].causes}
    assert "filters.x.new added" in comparison_text(between(own_small, "last~2", "last~1"))


def record(name: str, key: str, digest: str, **more: Any) -> StageRecord:
    return StageRecord(name, "any", key, more.pop("config", {}), more.pop("inputs", {}),
                       digest=digest, **more)  # fmt: skip


def side(*records: StageRecord) -> Side:
    return Side("run", "hand", {one.name: one for one in records})


def test_a_result_that_differs_under_one_key_is_flagged_and_so_is_what_follows() -> None:
    def one(digest: str, after: str) -> Side:
        inputs = {"model": {"name": "base", "digest": digest}}
        return side(record("base", "k", digest), record("report", after, after, inputs=inputs))

    found = stages(compare(one("d1", "r1"), one("d2", "r2")))
    assert found["base"].unexplained.startswith("same key, other content")
    assert "base changed, and nothing explains" in found["report"].unexplained
    text = comparison_text(compare(one("d1", "r1"), one("d2", "r2")))
    assert "UNEXPLAINED base" in text


def test_another_stage_in_a_slot_is_a_cause_of_its_own() -> None:
    a = record("tokens", "k1", "t1", inputs={"documents": {"name": "clean", "digest": "d1"}})
    b = record("tokens", "k2", "t2", inputs={"documents": {"name": "raw", "digest": "d2"}})
    (found,) = compare(side(a), side(b)).stages
    assert [(cause.stage, cause.of.field) for cause in found.causes] == [("tokens", "documents")]


def test_stages_of_one_side_and_unfinished_ones() -> None:
    a = side(record("x", "k", "d"), record("old", "k", "d"))
    b = side(replace(record("x", "k", ""), error="no disk"), record("new", "k", "d"))
    states = {one.name: one.state for one in compare(a, b).stages}
    assert states == {"x": "unfinished", "new": "only in B", "old": "only in A"}


def test_a_journal_of_stages_side_by_side_is_explained_inputs_first() -> None:
    first = {"documents": {"name": "clean", "digest": "d1"}}
    second = {"documents": {"name": "clean", "digest": "d2"}}
    a = side(record("tokens", "t1", "t1", inputs=first), record("clean", "c1", "d1"))
    b = side(
        record("tokens", "t2", "t2", inputs=second),
        record("clean", "c2", "d2", config={"limit": 3}),
    )
    found = stages(compare(a, b))
    assert [cause.stage for cause in found["tokens"].causes] == ["clean"]


def test_runs_are_found_by_beginning_and_by_age(small: SmallStore) -> None:
    for number, run in enumerate(reversed(small.runs)):
        journal = find_run(small.store, f"last~{number}")
        assert journal is not None
        assert journal.folder.name == run
    assert find_run(small.store, "nothing") is None
    with pytest.raises(RefError, match="3 runs begin with '20'"):
        find_run(small.store, "20")
    with pytest.raises(RefError, match="has 3 runs"):
        find_run(small.store, "last~3")
    with pytest.raises(RefError, match="no run begins with 'xyz', and no artifact answers"):
        sides(small.store, "xyz")


def test_what_a_journal_tells_is_enough_when_the_artifacts_are_gone(own_small: SmallStore) -> None:
    for folder in own_small.store.glob("[a-z]*"):
        shutil.rmtree(folder)
    found = stages(between(own_small, "last~2", "last~1"))
    assert found["tokens"].state == "changed"
    assert {cause.stage for cause in found["tokens"].causes} == {"clean"}


def test_a_journal_without_a_beginning_is_refused(tmp_path: Path) -> None:
    journal = Journal(runs_folder(tmp_path) / "r")
    journal.write(Event(kind="run_finished", data={"status": "FINISHED"}))
    with pytest.raises(RefError, match="has no beginning"):
        side_of_run(journal, tmp_path)


def test_the_command_prints_a_table_and_json(small: SmallStore) -> None:
    arguments = ("diff", "last~2", "last~1", "--store", small.store)
    told = llada(*arguments, cwd=Path.cwd()).stdout
    assert "follows clean" in told
    as_json = json.loads(llada(*arguments, "--json", cwd=Path.cwd()).stdout)
    assert as_json == json.loads(json.dumps(comparison_json(between(small, "last~2", "last~1"))))
    assert as_json["roots"][0]["stage"] == "clean"
