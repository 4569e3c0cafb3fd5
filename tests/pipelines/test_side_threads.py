"""Threads beside the main one: waited for, and not torn down under."""

import subprocess
import sys
import threading

from pipelines import side_threads

SCRIPT = """
import atexit, threading
from pipelines import side_threads
atexit.register(print, "torn down", flush=True)
may_end = threading.Event()
side_threads.start(may_end.wait, "unit")
if {ends}:
    may_end.set()
    assert side_threads.have_ended(within=30)
print("said")
side_threads.leave(3)
"""


def _left(*, ends: bool) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(ends=ends)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def test_it_waits_for_those_that_end() -> None:
    may_end = threading.Event()
    side_threads.start(lambda: bool(may_end.wait()), "unit")
    assert not side_threads.have_ended(within=0.01)
    may_end.set()
    assert side_threads.have_ended(within=30)


def test_under_a_thread_at_work_nothing_is_torn_down() -> None:
    done = _left(ends=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "said\n", "")


def test_else_the_process_ends_as_any() -> None:
    done = _left(ends=True)
    assert (done.returncode, done.stdout) == (3, "said\ntorn down\n")
