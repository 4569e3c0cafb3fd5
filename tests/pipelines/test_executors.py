"""A Ray Data job that is given up is not drawn to its end, and Ray does not come back for it."""

import subprocess
import sys
from collections.abc import Iterator
from threading import Event
from typing import Any

from pipelines.executors import _drawn
from pipelines.workspace import Stop


class Job:
    """Rows as they come out of a job, each once it is let through."""

    def __init__(self, rows: int) -> None:
        self.go_on, self.ended = Event(), Event()
        self._rows = rows

    def rows(self) -> Iterator[dict[str, Any]]:
        try:
            for number in range(self._rows):
                if number:
                    assert self.go_on.wait(10)
                yield {"number": number}
        finally:
            self.ended.set()


def test_a_job_is_drawn_to_its_end() -> None:
    job = Job(3)
    job.go_on.set()
    assert [row["number"] for row in _drawn(job.rows, Stop())] == [0, 1, 2]
    assert job.ended.wait(10)


def test_a_job_that_is_given_up_is_closed_at_its_next_row() -> None:
    job = Job(10**9)
    drawn = _drawn(job.rows, Stop())
    assert next(drawn)["number"] == 0
    drawn.close()
    job.go_on.set()
    assert job.ended.wait(10)


def test_what_outlives_ray_does_not_start_it_again() -> None:
    code = (
        "from pipelines import ray_node; ray_node._start_ray = print; ray_node.start_ray()\n"
        "import ray; ray.put(1)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 1
    assert "Ray has not been started yet" in run.stderr
