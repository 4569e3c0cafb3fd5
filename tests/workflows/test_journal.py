"""A journal on a disk and in a bucket tells the same events in the same order."""

import time
from pathlib import Path

import pytest

from pipelines import storage
from pipelines.storage import StorePath
from workflows import journal as journals
from workflows.journal import Event, Journal, journals_of, runs_folder


@pytest.fixture(params=["disk", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StorePath:
    if request.param == "disk":
        return tmp_path / "store"
    return storage.store_root(request.getfixturevalue("s3_store"))


def _metrics(step: int) -> Event:
    return Event(kind="metrics", stage="base", step=step, data={"values": {"loss": 1.0}})


def test_events_come_back_in_order_whatever_they_say(store: StorePath) -> None:
    journal = Journal(runs_folder(store) / "run-1")
    written = [
        Event(kind="run_started", data={"recipe": "a\N{LINE SEPARATOR}b\x0b\x85\r\n\N{SNOWMAN}"}),
        *(_metrics(step) for step in range(50)),
        Event(kind="stage_finished", stage="base"),
        _metrics(50),
        Event(kind="run_finished", data={"status": "FINISHED"}),
    ]
    for event in written:
        journal.write(event)
    assert list(journal.events()) == written
    assert list(Journal(runs_folder(store) / "run-1").events()) == written


def test_what_is_no_metric_is_there_at_once(store: StorePath) -> None:
    journal = Journal(runs_folder(store) / "run-1")
    for kind in ("run_started", "stage_started"):
        journal.write(Event(kind=kind))
        assert [e.kind for e in Journal(journal.folder).events()][-1] == kind


def test_a_second_writer_goes_on_where_the_first_stopped(store: StorePath) -> None:
    for number in range(3):
        Journal(runs_folder(store) / "run-1").write(Event(kind="run_started", data={"n": number}))
    events = list(Journal(runs_folder(store) / "run-1").events())
    assert [event.data["n"] for event in events] == [0, 1, 2]


def test_the_journals_of_a_store_are_listed_oldest_first(store: StorePath) -> None:
    assert journals_of(store) == []
    for run in ("20260102-b", "20260101-a"):
        Journal(runs_folder(store) / run).write(Event(kind="run_started"))
    storage.write_bytes(runs_folder(store) / "20260101-a" / "mlflow.json", b"{}")
    assert [journal.folder.name for journal in journals_of(store)] == ["20260101-a", "20260102-b"]


def test_metrics_in_a_bucket_share_segments_and_wait_two_seconds_at_most(
    s3_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert journals._SEGMENT_SECONDS <= 2
    monkeypatch.setattr(journals, "_SEGMENT_SECONDS", 0.2)
    journal = Journal(runs_folder(storage.store_root(s3_store)) / "run-1")
    journal.write(Event(kind="run_started"))
    for step in range(40):
        journal.write(_metrics(step))
    deadline = time.monotonic() + 10
    while len(list(journal.events())) < 41 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [e.step for e in journal.events()] == [None, *range(40)]
    assert len(storage.children(journal.path)) < 10
    for step in range(3000):  # more than a segment holds: it does not wait
        journal.write(_metrics(step))
    assert len(list(journal.events())) > 41


def test_reading_a_run_that_is_not_there_leaves_no_trace(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    assert list(journal.events()) == list(journal.milestones()) == []
    assert journal.size() == 0
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("line", [b"garbage", b'{"kind":"of tomorrow"}', b"\xff\xfe\x00"])
def test_a_line_that_is_no_event_is_named_with_its_journal(tmp_path: Path, line: bytes) -> None:
    journal = Journal(tmp_path / "run")
    journal.write(Event(kind="run_started", data={"run_id": "run"}))
    journal.path.write_bytes(journal.path.read_bytes() + line + b"\n")
    for read in (journal.events, journal.milestones):
        with pytest.raises(ValueError, match=r"run/events.jsonl holds a line .* or remove .*/run "):
            list(read())


def test_milestones_are_the_events_without_the_metrics(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    journal.write(Event(kind="run_started"))
    journal.write(Event(kind="metrics", stage="base", step=1, data={"values": {"loss": 1.0}}))
    journal.write(Event(kind="run_finished", data={"status": "FINISHED"}))
    assert [one.kind for one in journal.milestones()] == ["run_started", "run_finished"]
    assert [one for one in journal.events() if one.kind != "metrics"] == list(journal.milestones())
