"""A run as a graph: states, order, what flows; and the panel of a stage."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.made_up_runs import START, Made, write_run
from workflows.errors import RefError
from workflows.journal import Event
from workflows.ui.comparison import compare
from workflows.ui.index import Index
from workflows.ui.journals import tell
from workflows.ui.stage_view import mlflow_link, rerun_command, stage_view, thinned
from workflows.ui.values import Edge
from workflows.ui.view import run_page, run_view, search

GONE = 2**22 + 1
CHAIN = (
    Made("crawl", kind="source", makes="listing", entered=50, unit="files"),
    Made("clean", {"documents": "crawl"}, dropped={"too_short": 250, "language": 50}),
    Made("tokens", {"documents": "clean"}, kind="tokens", makes="tokens", metrics={"tokens": 9e4}),
    Made("base", {"tokens": "tokens"}, kind="pretrain", makes="model", info={"losses": [3.0, 1.0]}),
)


def opened(store: Path) -> Index:
    index = Index(store)
    index.refresh()
    return index


def states(store: Path, run: str) -> dict[str, str]:
    return {node["name"]: node["state"] for node in run_view(opened(store), run)["nodes"]}


def edge_of(store: Path, run: str, source: str, target: str) -> Edge:
    edges = run_view(opened(store), run)["edges"]
    (found,) = (e for e in edges if (e["source"], e["target"]) == (source, target))
    return found


def test_every_state_is_told_from_the_journal(tmp_path: Path) -> None:
    stages = [
        Made("ran"),
        Made("reused", cache="reused"),
        Made("resumed", cache="resumed"),
        Made("drift", cache="reused", why="from run a (drift accepted: loop.loss)"),
        Made("failed", error="a shard is damaged"),
        Made("cut", finished=False),
        Made("later", begun=False),
    ]
    write_run(tmp_path, "a", stages, status=None, pid=GONE)
    assert states(tmp_path, "a") == {
        "ran": "RAN", "reused": "REUSED", "resumed": "RESUMED", "drift": "DRIFT",
        "failed": "FAILED", "cut": "INTERRUPTED", "later": "NOT_BEGUN",
    }  # fmt: skip


def event(kind: str, stage: str | None = None, **data: Any) -> Event:
    return Event.model_validate({"kind": kind, "stage": stage, "time": START, "data": data})


def test_stages_may_interleave_and_begin_again() -> None:
    story = tell(
        [
            event("run_started", plan=[{"name": "a"}, {"name": "b"}]),
            event("stage_started", "a", why="never built"),
            event("stage_started", "b", why="never built"),
            event("stage_failed", "a", error="time-out"),
            event("stage_finished", "b", cache="ran"),
            event("stage_started", "a", why="second attempt"),
            event("stage_finished", "a", cache="resumed"),
            event("run_finished", status="FINISHED"),
        ]
    )
    assert story is not None
    assert {name: stage.state for name, stage in story.stages.items()} == {
        "a": "RESUMED",
        "b": "RAN",
    }
    assert story.stages["a"].error is None


def test_a_failed_check_is_quarantine_not_failure() -> None:
    checks = [{"name": "keep share", "ok": False, "found": 0.01, "allowed": ">= 0.2"}]
    failed = event("stage_failed", "a", error="1 check failed", checks=checks)
    story = tell([event("run_started", plan=[]), event("stage_started", "a"), failed])
    assert story is not None
    assert story.stages["a"].state == "QUARANTINED"
    assert story.stages["a"].checks == checks


def test_edges_say_what_flowed_and_what_was_lost_on_the_way(tmp_path: Path) -> None:
    write_run(tmp_path, "a", CHAIN)
    kept = edge_of(tmp_path, "a", "clean", "tokens")
    assert (kept["rows"], kept["unit"], kept["bytes"]) == (700, "documents", 70_000)
    assert kept["drop_share"] == pytest.approx(0.3)
    assert edge_of(tmp_path, "a", "tokens", "base")["tokens"] == 9e4
    assert edge_of(tmp_path, "a", "crawl", "clean")["drop_share"] == 0


def test_nodes_stand_after_what_they_need(tmp_path: Path) -> None:
    stages = [Made("c"), Made("b", {"documents": "c"}), Made("a", {"documents": "b"}, begun=False)]
    write_run(tmp_path, "x", stages, plan=[{"name": name, "kind": "filter"} for name in "abc"])
    assert [node["name"] for node in run_view(opened(tmp_path), "x")["nodes"]][1:] == ["c", "b"]


def test_the_plan_names_the_edges_of_stages_that_have_not_begun(tmp_path: Path) -> None:
    stages = [Made("x", error="no"), Made("y", {"documents": "x"}, begun=False)]
    write_run(tmp_path, "a", stages, status="FAILED")
    assert edge_of(tmp_path, "a", "x", "y")["assumed"] is False


def test_without_that_an_earlier_artifact_tells_them(tmp_path: Path) -> None:
    both = [Made("x"), Made("y", {"documents": "x"})]
    write_run(tmp_path, "a", both)
    plan = [{"name": name, "kind": "filter", "verdict": "RUN", "why": ""} for name in "xy"]
    write_run(tmp_path, "b", [Made("x", error="no")], status="FAILED", plan=plan)
    edge = edge_of(tmp_path, "b", "x", "y")
    assert edge["assumed"] is True
    assert edge["rows"] is None


def test_a_store_that_moved_still_finds_its_artifacts(tmp_path: Path) -> None:
    write_run(tmp_path / "old", "a", CHAIN)
    shutil.move(tmp_path / "old", tmp_path / "new")
    view = stage_view(opened(tmp_path / "new"), "a", "base")
    assert view["folder"] is not None
    assert view["folder"].startswith(str(tmp_path / "new"))
    assert view["code"] is not None


def test_a_journal_cannot_point_out_of_the_store(tmp_path: Path) -> None:
    write_run(tmp_path / "other", "a", [Made("x")])
    write_run(tmp_path / "store", "a", [Made("x")], manifests=False)
    journal = tmp_path / "store" / "_runs" / "a" / "events.jsonl"
    outside = str(tmp_path / "store" / ".." / "other")
    journal.write_text(journal.read_text().replace(str(tmp_path / "store"), outside))
    view = stage_view(opened(tmp_path / "store"), "a", "x")
    assert view["folder"] is None
    assert view["gone"] is not None
    assert view["files"] == []


@pytest.mark.parametrize("run", ["none", "../a", "..", "", "a/../a"])
def test_a_run_that_is_not_there_is_a_sentence(tmp_path: Path, run: str) -> None:
    write_run(tmp_path, "a", [Made("x")])
    with pytest.raises(RefError, match="the newest are a"):
        run_view(opened(tmp_path), run)


def test_the_panel_has_the_manifest_and_its_readers(tmp_path: Path) -> None:
    write_run(tmp_path, "a", CHAIN)
    (tmp_path / "_refs" / "tags").mkdir(parents=True)
    path = run_view(opened(tmp_path), "a")["nodes"][1]["path"]
    tag = {"ref": path, "name": "clean", "note": "for the paper"}
    (tmp_path / "_refs" / "tags" / "corpus@1.json").write_text(json.dumps(tag))
    (tmp_path / "_refs" / "tags" / "broken.json").write_text("{")
    view = stage_view(opened(tmp_path), "a", "clean")
    assert [row["name"] for row in view["used_by"]] == ["tokens"]
    assert [(one["slot"], one["name"], one["there"]) for one in view["inputs"]] == [
        ("documents", "crawl", True)
    ]
    assert view["refs"] == ["tag corpus@1 (for the paper)"]
    assert view["files"][0]["rows"] == 700
    assert view["rerun"] == "llada run demo.yaml --force clean"
    series = stage_view(opened(tmp_path), "a", "base")["series"]
    assert series is not None
    assert series["mean"] == [3.0, 1.0]


def test_a_training_that_failed_shows_its_losses_so_far(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [Made("base", error="out of memory")], status=None)
    losses = [event("metrics", "base", values={"loss": loss}) for loss in (2.0, 1.5)]
    with (tmp_path / "_runs" / "a" / "events.jsonl").open("a") as journal:
        journal.writelines(one.model_dump_json() + "\n" for one in losses)
    series = stage_view(opened(tmp_path), "a", "base")["series"]
    assert series is not None
    assert series["mean"] == [2.0, 1.5]


def test_a_thinned_curve_keeps_its_extremes() -> None:
    series = thinned([float(at % 100) for at in range(100_000)], points=400)
    assert series is not None
    assert len(series["mean"]) == 400
    assert (series["steps"], series["every"]) == (100_000, 250)
    assert (min(series["low"]), max(series["high"])) == (0.0, 99.0)
    assert thinned([None, None]) is None


@pytest.mark.parametrize(
    ("command", "again"),
    [
        ("llada run a.yaml", "llada run a.yaml --force base"),
        ("llada run a.yaml --force x --until y", "llada run a.yaml --force base"),
        ("llada run a.yaml --force=x --set b.c=1", "llada run a.yaml --set b.c=1 --force base"),
        ("llada run a.yaml --select +x --run-id=1 -k", "llada run a.yaml -k --force base"),
        ("llada run 'my recipe.yaml'", "llada run 'my recipe.yaml' --force base"),
        ("python -m something", "llada run RECIPE --force base"),
        ("", "llada run RECIPE --force base"),
        ("llada run it's", "llada run 'it'\"'\"'s' --force base"),
    ],
)
def test_the_command_to_run_again(command: str, again: str) -> None:
    assert rerun_command(command, "base") == again


def test_a_hostile_command_stays_one_line_of_words() -> None:
    again = rerun_command("llada run a.yaml;rm -rf ~ $(reboot) `id`", "x;id")
    assert shlex.split(again) == [
        "llada", "run", "a.yaml;rm", "-rf", "~", "$(reboot)", "`id`", "--force", "x;id",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("http://tracking:5000", "http://tracking:5000/#/runs/abc"),
        ("https://me:secret@tracking/base/", "https://tracking/base/#/runs/abc"),
        ("sqlite:///store/mlflow.db", None),
        ("javascript:alert(1)//", None),
        ("http://", None),
    ],
)
def test_only_a_web_server_is_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, link: str | None
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    state = {"tracking_uri": uri, "stages": {"x": "abc", "y": "'><script>"}}
    (tmp_path / "mlflow.json").write_text(json.dumps(state))
    assert mlflow_link(tmp_path, "x") == link
    assert mlflow_link(tmp_path, "y") is None
    assert mlflow_link(tmp_path, "z") is None


def test_a_comparison_tells_causes_from_consequences(tmp_path: Path) -> None:
    old = [
        Made("a", config={"seed": 1}),
        Made("b", {"documents": "a"}, config={"deep": {"limit": 1, "same": 2}}),
        Made("c", {"documents": "b"}),
        Made("code", {"documents": "a"}, code_parts={"m.f": "1" * 64, "m.g": "2" * 64}),
        Made("left"),
    ]
    new = [
        old[0],
        Made("b", {"documents": "a"}, config={"deep": {"limit": 3, "same": 2}}, dropped={"r": 9}),
        Made("c", {"documents": "b"}),
        Made("code", {"documents": "a"}, code_parts={"m.f": "3" * 64, "m.h": "4" * 64}),
        Made("right"),
    ]
    write_run(tmp_path, "one", old)
    write_run(tmp_path, "two", new, at=START + 60)
    both = compare(opened(tmp_path), "one", "two")
    assert {name: change["change"] for name, change in both["changes"].items()} == {
        "a": "same", "b": "changed", "c": "follows", "code": "changed", "right": "added",
        "left": "removed",
    }  # fmt: skip
    b = both["changes"]["b"]
    assert b["config"] == [{"what": "deep.limit", "old": 1, "new": 3}]
    assert {"what": "dropped.r", "old": None, "new": 9} in b["ledger"]
    assert {"what": "kept", "old": 1000, "new": 991} in b["ledger"]
    parts = {
        change["what"]: (change["old"], change["new"]) for change in both["changes"]["code"]["code"]
    }
    assert parts == {"m.f": ("1" * 16, "3" * 16), "m.g": ("2" * 16, None), "m.h": (None, "4" * 16)}
    assert [node["name"] for node in both["nodes"]].count("left") == 1


def test_runs_are_listed_page_by_page_and_found(tmp_path: Path) -> None:
    for number in range(7):
        status = "FAILED" if number == 3 else "FINISHED"
        write_run(tmp_path, f"r{number}", [Made("x")], at=START + number, status=status)
    index = opened(tmp_path)
    page = run_page(index, offset=2, limit=3)
    assert (page["total"], [row["run_id"] for row in page["rows"]]) == (7, ["r4", "r3", "r2"])
    assert [row["run_id"] for row in run_page(index, "failed demo")["rows"]] == ["r3"]
    (artifact,) = index.artifacts.values()
    for query in ("x", artifact["digest"][:8], f"x@{artifact['digest'][:4]}"):
        assert [row["name"] for row in search(index, query)["artifacts"]] == ["x"], query
    assert search(index, "nothing-like-it")["artifacts_total"] == 0
