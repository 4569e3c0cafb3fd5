"""The index: right the first time, and cheap the second."""

import json
import time
from pathlib import Path

from tests.support.made_up_runs import START, Made, write_run
from workflows.artifact import MANIFEST
from workflows.ui.index import Index

GONE = 2**22 + 1  # above the kernel's limit: no process has this pid


def opened(store: Path) -> Index:
    index = Index(store)
    index.refresh()
    return index


def test_runs_stand_newest_first_with_what_became_of_their_stages(tmp_path: Path) -> None:
    write_run(
        tmp_path, "a", [Made("x"), Made("y", {"documents": "x"}, error="no")], status="FAILED"
    )
    write_run(tmp_path, "b", [Made("x", cache="reused")], at=START + 60)
    index = opened(tmp_path)
    assert list(index.runs) == ["b", "a"]
    assert index.runs["a"]["counts"] == {"RAN": 1, "FAILED": 1}
    assert index.runs["a"]["status"] == "FAILED"
    assert index.runs["b"]["counts"] == {"REUSED": 1}
    assert [row["name"] for row in index.artifacts.values()] == ["x"]


def test_a_second_start_opens_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [Made("x")])
    first = opened(tmp_path)
    assert first.read == 2
    second = opened(tmp_path)
    assert second.read == 0
    assert (second.runs, second.artifacts) == (first.runs, first.artifacts)


def test_a_journal_that_grew_is_read_again(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [Made("x")], status=None, pid=GONE)
    assert opened(tmp_path).runs["a"]["status"] == "INTERRUPTED"
    with (tmp_path / "_runs" / "a" / "events.jsonl").open("a") as journal:
        journal.write('{"kind":"run_finished","time":1.0,"data":{"status":"FINISHED"}}\n')
    index = opened(tmp_path)
    assert index.runs["a"]["status"] == "FINISHED"
    assert index.read == 1


def test_a_run_that_goes_on_is_looked_at_each_time(tmp_path: Path) -> None:
    """Its file does not change when its process dies."""
    now = time.time()
    write_run(tmp_path, "a", [Made("x", finished=False)], status=None, at=now)
    assert opened(tmp_path).runs["a"]["status"] == "RUNNING"
    again = opened(tmp_path)
    assert again.runs["a"]["counts"] == {"RUNNING": 1}
    assert again.read == 1


def test_what_was_removed_is_forgotten(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [Made("x")])
    (path,) = opened(tmp_path).artifacts
    (tmp_path / path / MANIFEST).unlink()
    assert opened(tmp_path).artifacts == {}


def test_a_damaged_memory_costs_time_only(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [Made("x")])
    whole = opened(tmp_path)
    memory = tmp_path / "_cache" / "ui-index.json"
    for damaged in (b"{", b'{"version": 1, "runs": {"a": 3}, "artifacts": {}}', b"\xff"):
        memory.write_bytes(damaged)
        index = opened(tmp_path)
        assert index.runs == whole.runs
        assert index.read == 2
    old = {**json.loads(memory.read_bytes()), "version": 0}
    memory.write_text(json.dumps(old))
    assert opened(tmp_path).read == 2


def test_unreadable_files_are_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [Made("x")])
    write_run(tmp_path, "b", [Made("y")])
    (tmp_path / "_runs" / "a" / "events.jsonl").write_text('{"kind":"a word from the future"}\n')
    (path,) = (p for p, row in opened(tmp_path).artifacts.items() if row["name"] == "x")
    (tmp_path / path / MANIFEST).write_text("{}")
    index = opened(tmp_path)
    assert list(index.runs) == ["b"]
    assert [row["name"] for row in index.artifacts.values()] == ["y"]
    assert len(index.problems) == 2
    assert str(tmp_path / "_runs" / "a") in index.problems[0]


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    index = opened(tmp_path / "none")
    assert (index.runs, index.artifacts, index.problems) == ({}, {}, [])
    assert not (tmp_path / "none").exists()
