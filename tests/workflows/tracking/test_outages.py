"""The MLflow mirror when things go wrong: outages, kills, replays, two mirrors at once."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.journals import STEPS, Seen, begin, finish, started, whole_run, write
from workflows.journal import Journal, runs_folder
from workflows.tracking.drain import Backlog
from workflows.tracking.mirror import MlflowMirror

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def refusing_uri() -> str:
    """An address on loopback where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://someone:secret@127.0.0.1:{probe.getsockname()[1]}"


def test_a_second_sync_changes_nothing(own: Seen, store: Path, journal: Journal) -> None:
    before = own.everything()
    result = MlflowMirror(store).sync(journal)

    assert (result.mirrored, result.problem) == (0, None)
    assert Seen(store).everything() == before


@pytest.mark.parametrize("lost", [None, 0, 4, 900, STEPS + 9])
def test_going_over_events_again_changes_nothing(
    own: Seen, store: Path, journal: Journal, lost: int | None
) -> None:
    """A mirror that was killed after MLflow took the events and before it noted so."""
    before = own.everything()
    state = journal.folder / "mlflow.json"
    if lost is None:
        state.unlink()
    else:
        noted = json.loads(state.read_text())
        offset, _ = list(journal.events_after(0))[lost - 1] if lost else (0, None)
        some = list(journal.events())[:lost]
        tries = Counter(event.stage for event in some if event.kind == "stage_started")
        state.write_text(
            json.dumps(
                {**noted, "consumed": lost, "offset": offset, "attempts": tries}
                | {"settled": False, "closed": False}
            )
        )
    result = MlflowMirror(store).sync(journal)

    assert result.problem is None
    assert Seen(store).everything() == before


@pytest.mark.parametrize("cut", [1, 3, 900, STEPS + 9])
def test_syncs_along_the_way_add_up_to_one(store: Path, journal: Journal, cut: int) -> None:
    events = whole_run(store)
    write(journal, events[:cut])
    first = MlflowMirror(store).sync(journal)
    write(journal, events[cut:])
    second = MlflowMirror(store).sync(journal)

    assert (first.mirrored, second.mirrored) == (cut, len(events) - cut)
    found = Seen(store)
    assert len(found.runs) == 6
    assert len(found.history("base", "loss")) == STEPS + 2
    assert [one.info.status for one in found.runs].count("RUNNING") == 0


def test_a_mirror_killed_half_way_doubles_nothing(store: Path, journal: Journal) -> None:
    events = whole_run(store)
    write(journal, events[:3])
    MlflowMirror(store).sync(journal)
    write(journal, events[3:])
    program = (
        "import sys; from pathlib import Path; from workflows.tracking.mirror import MlflowMirror\n"
        "from workflows.journal import Journal\n"
        "MlflowMirror(Path(sys.argv[1])).sync(Journal(Path(sys.argv[2])))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(store), str(journal.folder)]
    ) as mirror:
        while "clean" not in Seen(store).by_stage:
            time.sleep(0.01)
        mirror.kill()
    assert MlflowMirror(store).sync(journal).problem is None

    found = Seen(store)
    assert len(found.runs) == 6
    assert len(found.history("base", "loss")) == STEPS + 2
    assert len(found.models()) == 1


def test_an_outage_is_told_in_a_sentence_and_made_up_for_later(
    store: Path, journal: Journal, refusing_uri: str
) -> None:
    write(journal, whole_run(store))
    down = MlflowMirror(store, refusing_uri).sync(journal)

    assert (down.mirrored, down.down) == (0, True)
    assert down.problem is not None
    assert "did not take the records of this run: it does not answer." in down.problem
    assert "the next run with this store sends them" in down.problem
    assert "secret" not in down.problem
    assert [one.folder for one in Backlog(store).pending()] == [journal.folder]

    up = MlflowMirror(store).sync(journal)
    assert (up.mirrored, up.problem) == (len(list(journal.events())), None)
    assert Backlog(store).pending() == []
    assert len(Seen(store).runs) == 6


def test_an_outage_in_the_middle_keeps_what_was_mirrored(store: Path, journal: Journal) -> None:
    events = whole_run(store)
    write(journal, events[:5])
    MlflowMirror(store).sync(journal)
    write(journal, events[5:])
    database = store / "mlflow.db"
    database.rename(store / "away")
    database.mkdir()
    down = MlflowMirror(store).sync(journal)
    database.rmdir()
    (store / "away").rename(database)

    assert (down.mirrored, down.down) == (0, True)
    assert MlflowMirror(store).sync(journal).mirrored == len(events) - 5
    assert len(Seen(store).runs) == 6


@pytest.fixture
def deaf_server() -> Iterator[tuple[str, list[int]]]:
    """A server that hangs up on everyone, and counts."""
    calls: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                calls.append(1)
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_server_that_is_down_is_not_asked_at_every_stage(
    store: Path, journal: Journal, deaf_server: tuple[str, list[int]]
) -> None:
    uri, calls = deaf_server
    mirror = MlflowMirror(store, uri)
    write(journal, whole_run(store)[:3])
    first = mirror.sync(journal)
    asked = len(calls)
    write(journal, whole_run(store)[3:5])
    second = mirror.sync(journal)

    assert asked > 0
    assert len(calls) == asked
    assert (first.down, second.down) == (True, True)
    assert second.problem == first.problem


DYING = """
import os, signal, sys
from pathlib import Path
from workflows import environment
from workflows.journal import Event, Journal
journal = Journal(Path(sys.argv[1]))
for line in sys.stdin:
    event = Event.model_validate_json(line)
    if event.kind == "run_started":
        event = event.model_copy(update={"data": {**event.data, **environment.process()}})
    journal.write(event)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_killed_half_way_ends_as_killed(store: Path, journal: Journal) -> None:
    events = [started(), begin("crawl", {}), finish(store, "crawl"), begin("clean", {})]
    lines = "".join(event.model_dump_json() + "\n" for event in events)
    done = subprocess.run(
        [sys.executable, "-c", DYING, str(journal.folder)], input=lines, text=True, check=False
    )
    assert done.returncode == -9
    assert [one.folder for one in Backlog(store).pending()] == [journal.folder]
    result = MlflowMirror(store).sync(journal)

    assert (result.mirrored, result.problem) == (4, None)
    assert {stage: run.info.status for stage, run in Seen(store).by_stage.items()} == {
        None: "KILLED",
        "crawl": "FINISHED",
        "clean": "KILLED",
    }
    assert Backlog(store).pending() == []


@pytest.mark.parametrize(
    ("process", "age", "status"),
    [
        ({}, 0.0, "RUNNING"),
        ({"host": "elsewhere"}, 3600.0, "RUNNING"),
        ({"host": "elsewhere"}, 100_000.0, "KILLED"),
        ({"pid": os.getpid()}, 10_000_000.0, "KILLED"),
    ],
    ids=["alive", "elsewhere", "elsewhere and silent for a day", "its pid is another's now"],
)
def test_only_a_run_whose_writer_is_gone_is_ended(
    store: Path, journal: Journal, process: dict[str, Any], age: float, status: str
) -> None:
    event = started(**process)
    journal.write(event.model_copy(update={"time": event.time - age}))
    MlflowMirror(store).sync(journal)

    assert Seen(store).parent.info.status == status
    assert Backlog(store).pending() == []


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "run_started", "tim\n',
        '{"kind": "of tomorrow"}\n',
        '{"kind": "metrics"}\n',
        '{"kind": "run_started", "data": {"recipe": "demo", "host": "elsewhere"}}\n',
    ],
)
def test_a_journal_that_cannot_be_read_is_named_and_left_alone(
    store: Path, journal: Journal, text: str
) -> None:
    journal.path.write_text(text)
    result = MlflowMirror(store).sync(journal)

    assert result.problem is not None
    assert str(journal.path) in result.problem
    assert journal.path.read_text() == text


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("sqlite:////dev/null/mlflow.db", "File exists"),
        ("file:///tmp/old-style", "maintenance mode"),
        ("carrier-pigeon://loft", "unsupported URI"),
        ("sqlite:///{store}/damaged.db", "file is not a database"),
    ],
)
def test_whatever_is_wrong_with_tracking_is_told_not_raised(
    store: Path, journal: Journal, uri: str, reason: str
) -> None:
    write(journal, [started()])
    (store / "damaged.db").write_text("no database " * 1000)
    result = MlflowMirror(store, uri.format(store=store)).sync(journal)

    assert (result.mirrored, result.down) == (0, True)
    told = result.problem or ""
    assert "did not take the records of this run" in told
    assert reason in told


def test_a_run_begun_at_another_tracking_address_is_mirrored_whole(
    store: Path, journal: Journal
) -> None:
    events = whole_run(store)
    write(journal, events[:3])
    other = store / "elsewhere"
    other.mkdir()
    shutil.copy(store / "mlflow.db", other)
    MlflowMirror(store, f"sqlite:///{other / 'mlflow.db'}").sync(journal)
    write(journal, events[3:])
    result = MlflowMirror(store).sync(journal)

    assert (result.mirrored, result.problem) == (len(events), None)
    assert len(Seen(store).runs) == 6


def test_the_environment_says_where_records_go(
    own: Seen, store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = store / "elsewhere"
    other.mkdir()
    (store / "mlflow.db").rename(other / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other / 'mlflow.db'}")
    write(Journal(runs_folder(store) / "run-2"), [started("run-2")])
    MlflowMirror(store).sync(Journal(runs_folder(store) / "run-2"))

    assert len(Seen(other).runs) == len(own.runs) + 1
    assert not (store / "mlflow.db").exists()


def test_even_the_first_sync_of_a_store_keeps_quiet(tmp_path: Path) -> None:
    """It makes the database, of which alembic has much to say."""
    write(Journal(runs_folder(tmp_path) / "run-1"), whole_run(tmp_path)[:5])
    program = (
        "import sys; from pathlib import Path; from workflows.tracking.mirror import MlflowMirror\n"
        "from workflows.journal import Journal\n"
        "store = Path(sys.argv[1])\n"
        "print(MlflowMirror(store).sync(Journal(store / '_runs' / 'run-1')).mirrored)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("5\n", "")


def test_a_mirrored_journal_costs_no_import_of_mlflow(own: Seen, store: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from workflows.journal import Journal\n"
        "from workflows.tracking.drain import Backlog\n"
        "from workflows.tracking.mirror import MlflowMirror\n"
        "store = Path(sys.argv[1])\n"
        "run = Journal(store / '_runs' / 'run-1')\n"
        "print(MlflowMirror(store).sync(run).mirrored, Backlog(store).pending())\n"
        "print('mlflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(store)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["0 []", "False"]
