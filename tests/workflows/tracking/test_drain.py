"""The mirror as a process beside the runs: one at a time, nothing read twice, nothing forgotten."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commands import hear_interrupts
from tests.support.journals import Seen, begin, finish, started, whole_run, write
from workflows.journal import Event, Journal, runs_folder
from workflows.tracking import drain
from workflows.tracking.drain import Backlog, follow, locked
from workflows.tracking.mirror import MlflowMirror
from workflows.tracking.process import EXIT_CODES, start_mirror
from workflows.tracking.progress import is_closed, last_problem

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

END = Event(kind="run_finished", data={"status": "FINISHED"})
NO_PROCESS = 2**22 + 1  # above any pid that Linux gives


def wait_for(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_that_begins_while_the_last_look_is_over_is_not_forgotten(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: the mirror has looked a last time and still holds the lock."""
    write(journal, whole_run(store))
    late = Journal(runs_folder(store) / "run-2")
    found: list[str] = []

    @contextmanager
    def locked_then_late(where: Path) -> Iterator[bool]:
        with locked(where) as ours:
            yield ours
            if ours and not late.size():
                write(late, [started("run-2"), END])
                found.append(follow(store, "run-2"))

    monkeypatch.setattr(drain, "locked", locked_then_late)
    outcome = follow(store, "run-1", log=lambda line: None)

    assert found == ["busy"]
    assert outcome == "done"
    assert is_closed(late)
    assert len(Seen(store).runs) == 7


def test_a_second_mirror_leaves_the_work_to_the_first(store: Path, journal: Journal) -> None:
    write(journal, [started()])  # by this process, which lives
    first = start_mirror(store, "run-1")
    wait_for(lambda: (journal.folder / "mlflow.json").exists())
    other = Journal(runs_folder(store) / "run-2")
    write(other, [started("run-2"), begin("crawl", {})])
    second = start_mirror(store, "run-2")

    assert second.wait(timeout=60) == EXIT_CODES["busy"]
    write(other, [finish(store, "crawl"), END])
    wait_for(lambda: is_closed(other))
    assert first.poll() is None, "run-1 still lives"
    write(journal, [END])
    assert first.wait(timeout=60) == EXIT_CODES["done"]
    assert {run.info.status for run in Seen(store).runs} == {"FINISHED"}


LIVING = """
import sys, time
from pathlib import Path
from tests.support.journals import begin, started
from workflows.journal import Journal
from workflows.tracking.process import start_mirror
store = Path(sys.argv[1])
journal = Journal(store / "_runs" / "run-1")
journal.write(started())
journal.write(begin("crawl", {}))
print(start_mirror(store, "run-1").pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_the_mirror_outlives_the_run_and_ends_it_as_killed(
    store: Path, journal: Journal, how: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LIVING, str(store)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        preexec_fn=hear_interrupts,
    ) as run:  # fmt: skip
        try:
            assert run.stdout is not None
            mirror = int(run.stdout.readline())
            wait_for(lambda: (journal.folder / "mlflow.json").exists())
            assert not is_closed(journal)
            assert os.getpgid(run.pid) == run.pid != os.getpgid(0)
            os.killpg(run.pid, how)  # the whole foreground group, as a terminal does
            run.wait(timeout=30)
        finally:
            run.kill()
    wait_for(lambda: is_closed(journal))
    wait_for(lambda: not _lives(mirror))

    assert {stage: one.info.status for stage, one in Seen(store).by_stage.items()} == {
        None: "KILLED",
        "crawl": "KILLED",
    }


def _lives(pid: int) -> bool:
    try:
        return "(python" in Path(f"/proc/{pid}/stat").read_text() and not _is_zombie(pid)
    except FileNotFoundError:
        return False


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_what_was_read_once_is_not_read_again(store: Path, journal: Journal) -> None:
    write(journal, [started(), begin("base", {})])
    write(journal, [_loss(step) for step in range(100)])
    mirror = MlflowMirror(store)
    assert mirror.sync(journal).mirrored == 102
    end = journal.size()
    lines = journal.path.read_bytes().splitlines(keepends=True)
    junk = b"".join(b"?" * (len(line) - 1) + b"\n" for line in lines[1:])
    journal.path.write_bytes(lines[0] + junk)  # whoever reads this again trips over it
    assert journal.size() == end
    write(journal, [_loss(100)])

    assert mirror.sync(journal).mirrored == 1
    write(journal, [_loss(101)])
    assert MlflowMirror(store).sync(journal).mirrored == 1, "another process goes on there too"
    assert len(Seen(store).history("base", "loss")) == 102


def _loss(step: int) -> Event:
    return Event(
        kind="metrics", stage="base", step=step, data={"values": {"loss": 1.0 / (step + 1)}}
    )


def test_a_long_journal_is_followed_in_linear_time(tmp_path: Path) -> None:
    """100,000 lines in 500 pieces: reading all of it each time would take minutes."""
    (tmp_path / "run").mkdir()
    journal = Journal(tmp_path / "run")
    line = (_loss(7).model_dump_json(exclude_none=True) + "\n").encode()
    offset, seen, began = 0, 0, time.process_time()
    for _ in range(500):
        with journal.path.open("ab") as handle:
            handle.write(line * 200)
        for behind, _event in journal.events_after(offset):
            offset, seen = behind, seen + 1
    assert (seen, offset) == (100_000, journal.size())
    assert time.process_time() - began < 20


def test_a_line_that_is_being_written_waits_for_its_end(store: Path, journal: Journal) -> None:
    write(journal, [started()])
    text = begin("crawl", {}).model_dump_json() + "\n"
    mirror = MlflowMirror(store)
    with journal.path.open("a") as handle:
        handle.write(text[:40])
        handle.flush()
        assert mirror.sync(journal).mirrored == 1
        handle.write(text[40:])
    assert mirror.sync(journal).mirrored == 1
    assert "crawl" in Seen(store).by_stage


@pytest.mark.parametrize(
    "text",
    ['{"kind": "of tomorrow"}\n', '{"kind": "run_st', ""],
    ids=["not to be read", "torn", "empty"],
)
def test_a_journal_that_leads_nowhere_keeps_no_mirror_busy(
    store: Path, journal: Journal, text: str
) -> None:
    journal.path.write_text(text)
    elsewhere = Journal(runs_folder(store) / "run-2")
    write(elsewhere, [started("run-2", host="elsewhere")])
    with elsewhere.path.open("a") as handle:
        handle.write('{"kind": "sta')
    lines: list[str] = []
    ended: list[str] = []
    thread = threading.Thread(target=lambda: ended.append(follow(store, log=lines.append)))
    thread.daemon = True
    thread.start()
    thread.join(timeout=30)

    assert ended == ["left" if text.endswith("\n") else "done"]
    assert "run run-2: 1 events sent" in lines
    assert any("Remove the folder" in line for line in lines) == text.endswith("\n")


def test_a_server_that_is_down_ends_the_mirror_of_runs_that_are_over(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(journal, whole_run(store))
    (store / "mlflow.db").rename(store / "away")
    (store / "mlflow.db").mkdir()
    lines: list[str] = []

    assert follow(store, log=lines.append) == "left"
    assert "did not take the records" in (last_problem(store) or "")
    (store / "mlflow.db").rmdir()
    (store / "away").rename(store / "mlflow.db")
    assert follow(store, log=lines.append) == "done"
    assert last_problem(store) is None
    assert Backlog(store).pending() == []


def test_a_mirror_tries_again_while_the_run_goes_on(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "_RETRY", 0.3)
    write(journal, [started()])
    (store / "mlflow.db").rename(store / "away")
    (store / "mlflow.db").mkdir()
    ended: list[str] = []
    lines: list[str] = []
    thread = threading.Thread(target=lambda: ended.append(follow(store, log=lines.append)))
    thread.start()
    wait_for(lambda: len(lines) > 1)
    (store / "mlflow.db").rmdir()
    (store / "away").rename(store / "mlflow.db")
    wait_for(lambda: "run run-1: 1 events sent" in lines)
    write(journal, [END])
    thread.join(timeout=60)

    assert ended == ["done"]
    assert Seen(store).parent.info.status == "FINISHED"


def test_the_run_that_is_waited_for_comes_first(store: Path) -> None:
    for number in range(3):
        write(
            Journal(runs_folder(store) / f"run-{number}"),
            [started(f"run-{number}", pid=NO_PROCESS)],
        )
    assert [one.folder.name for one in Backlog(store).open("run-2")] == ["run-2", "run-0", "run-1"]
