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
