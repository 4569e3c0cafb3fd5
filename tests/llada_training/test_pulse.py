"""A process that stops beating is named once, and only that very process is ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from llada.training.pulse import WITHOUT_PROGRESS, Beat, Pulse, Watch, kill

BEATING = """
import sys, time, pathlib
from llada.training.pulse import Pulse
with Pulse(pathlib.Path(sys.argv[1]), 3, "here"):
    print("on", flush=True)
    time.sleep(60)
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def beat(count: int, *, rank: int = 0, pid: int = 1, born: float = 2.0) -> Beat:
    return Beat(rank=rank, pid=pid, born=born, node="n", count=count)


def write(folder: Path, beat: Beat) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{beat.rank}.json").write_text(beat.model_dump_json())


def test_the_rank_that_stopped_is_named_once_and_the_others_not(tmp_path: Path) -> None:
    folder, clock = tmp_path / "pulses", Clock()
    watch = Watch(folder, tmp_path / "metrics", 30, clock)
    assert watch.still() == []
    for second in range(0, 100, 10):
        clock.now = second
        write(folder, beat(second))
        write(folder, beat(min(second, 20), rank=1))
        assert watch.still() == ([beat(20, rank=1)] if second == 60 else [])
    write(folder, beat(1, rank=1, pid=9))  # its successor has a whole limit again
    assert watch.still() == []


def test_beats_without_steps_end_all_in_the_end(tmp_path: Path) -> None:
    folder, clock, metrics = tmp_path / "pulses", Clock(), tmp_path / "metrics"
    watch = Watch(folder, metrics, 1, clock)
    found = {}
    for second in range(150):
        clock.now = second
        write(folder, beat(second))
        if second == 30:
            metrics.write_text("a step")
        if still := watch.still():
            found[second] = [each.count for each in still]
    assert found == {30 + WITHOUT_PROGRESS + 1: [91]}


def test_a_frozen_process_is_noticed_and_ended_and_no_other_of_its_number(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BEATING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        watch, began = Watch(tmp_path, tmp_path / "metrics", 5), time.monotonic()
        while time.monotonic() < began + 6:
            assert watch.still() == []
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGSTOP)
        while not (found := watch.still()) and time.monotonic() < began + 30:
            time.sleep(0.2)
        (frozen,) = found
        assert (frozen.rank, frozen.pid, frozen.node) == (3, process.pid, "here")
        assert not kill(frozen.model_copy(update={"born": frozen.born - 1}))
        assert process.poll() is None
        assert kill(frozen)
        assert process.wait(timeout=10) == -signal.SIGKILL
        assert not kill(frozen)
    finally:
        process.kill()
        process.communicate()


def test_the_sign_goes_when_the_work_is_done(tmp_path: Path) -> None:
    with Pulse(tmp_path / "p", 0, "here"):
        while not (tmp_path / "p" / "0.json").exists():
            time.sleep(0.01)
    assert list((tmp_path / "p").iterdir()) == []
