"""What a run does about MLflow: start the mirror, wait a little, say how far it is."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.journals import Seen, started, whole_run, write
from workflows.journal import Event, Journal, runs_folder
from workflows.plan import Planned
from workflows.stage import Stage
from workflows.tracking.drain import Backlog, follow, locked
from workflows.tracking.follow import Tracking

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def tracking(store: Path) -> Iterator[Tracking]:
    tracking = Tracking(store, "run-1")
    yield tracking
    if tracking.mirror:
        tracking.mirror.wait(timeout=60)


def _planned(verdict: str) -> Planned:
    stage = Stage.model_construct(name="clean", kind="filter")
    return Planned(stage=stage, verdict=verdict, why="")  # type: ignore[arg-type]


def _settled(tracking: Tracking, seconds: float) -> tuple[str, float]:
    began = time.monotonic()
    return tracking.settle(seconds), time.monotonic() - began


def test_a_run_with_work_has_its_mirror_from_the_start(
    store: Path, journal: Journal, tracking: Tracking
) -> None:
    events = whole_run(store)
    write(journal, events[:4])
    tracking.stage_started(_planned("REUSE"))
    assert tracking.mirror is None
    tracking.stage_started(_planned("RUN"))
    only = tracking.mirror
    tracking.stage_started(_planned("RUN"))
    assert tracking.mirror is only
    assert only is not None
    write(journal, events[4:])
    tracking.ended()

    said, _ = _settled(tracking, 60.0)
    assert said == "MLflow has everything of this run."
    assert len(Seen(store).runs) == 6
    assert only.wait(timeout=60) == 0


def test_a_run_that_only_reused_waits_for_nothing(
    store: Path, journal: Journal, tracking: Tracking
) -> None:
    write(journal, [started(), Event(kind="run_finished", data={"status": "FINISHED"})])
    tracking.stage_started(_planned("REUSE"))
    tracking.ended()
    said, waited = _settled(tracking, 60.0)

    assert waited < 2.0
    assert "being written in the background" in said
    assert f"llada sync --store {store}" in said
    assert tracking.mirror
    assert tracking.mirror.wait(timeout=60) == 0
    assert Seen(store).parent.info.status == "FINISHED"


def test_the_wait_is_never_longer_than_the_run(
    store: Path, journal: Journal, tracking: Tracking
) -> None:
    write(journal, [started()])
    with locked(store) as ours:  # as another run's mirror that has a lot to do
        assert ours
        tracking.stage_started(_planned("RUN"))
        write(journal, [Event(kind="run_finished", data={"status": "FINISHED"})])
        tracking.ended()
        said, waited = _settled(tracking, 0.4)
    assert 0.4 <= waited < 3.0
    assert "being written in the background" in said


def test_tracking_that_is_down_is_told_at_once_and_nothing_is_lost(
    store: Path, journal: Journal, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////dev/null/mlflow.db")
    write(journal, whole_run(store))
    tracking.stage_started(_planned("RUN"))
    said, _ = _settled(tracking, 60.0)

    assert "did not take the records of this run: [Errno 17] File exists" in said
    assert "llada sync" in said
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert follow(store, log=lambda line: None) == "done"
    assert len(Seen(store).runs) == 6


def test_where_no_process_starts_the_records_wait(
    store: Path, journal: Journal, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(journal, whole_run(store))
    monkeypatch.setattr(sys, "executable", str(store / "no-python"))
    tracking.stage_started(_planned("RUN"))
    tracking.ended()
    said, waited = _settled(tracking, 60.0)

    assert waited < 2.0
    assert "no process can be started" in said
    assert "no-python" in said
    assert [one.folder for one in Backlog(store).pending()] == [journal.folder]


def test_a_run_that_was_refused_starts_nothing(store: Path) -> None:
    tracking = Tracking(store, "run-1")
    tracking.ended()
    assert tracking.mirror is None
    assert not (runs_folder(store) / "run-1").exists()


def test_a_folder_named_workflows_where_the_user_stands_is_not_run(
    store: Path, journal: Journal, tmp_path: Path
) -> None:
    write(journal, whole_run(store))
    mine = tmp_path / "project"
    (mine / "workflows" / "tracking").mkdir(parents=True)
    for folder in (mine / "workflows", mine / "workflows" / "tracking"):
        (folder / "__init__.py").write_text("raise SystemExit('not ours')")
    program = (
        "import sys; sys.path.pop(0); sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from workflows.tracking.process import start_mirror\n"
        "sys.exit(start_mirror(Path(sys.argv[1]), 'run-1').wait())"
    )
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        [sys.executable, "-c", program, str(store), root], cwd=mine, check=False, timeout=60
    )
    assert done.returncode == 0
    assert len(Seen(store).runs) == 6
