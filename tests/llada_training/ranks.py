"""Ranks without Ray: a process each, forked where torch and DeepSpeed are imported already.

The import is most of what a start costs; the processes are real, and so are their deaths.
"""

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from llada.training.job import TrainingJob

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["llada.training.loop"])


class Rank:
    """One rank's process, and what it said."""

    def __init__(self, process: BaseProcess, log: Path) -> None:
        self._process, self._log = process, log

    def send(self, number: signal.Signals) -> None:
        """Signal it, whatever its state; one that has ended hears nothing."""
        if self._process.is_alive():
            assert self._process.pid is not None
            with suppress(ProcessLookupError):  # it ended since
                os.kill(self._process.pid, number)

    def code(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float) -> None:
        """Give it time to end."""
        self._process.join(seconds)

    def said(self) -> str:
        """Return its last words."""
        return self._log.read_text()[-3000:]


def run_ranks(world: int, jobs: Sequence[TrainingJob], folder: Path) -> None:
    """Run the jobs one after another to their ends on `world` ranks."""
    with started(world, jobs, folder) as ranks:
        for rank in ranks:
            rank.wait(240)
            assert rank.code() == 0, rank.said()


def run_alone(check: Callable[[Path], None], folder: Path) -> None:
    """Call `check(folder)` in the only rank of a group: DeepSpeed remembers a process's first."""
    with _forked(1, check, (folder,), folder) as (rank,):
        rank.wait(240)
        assert rank.code() == 0, rank.said()


@contextmanager
def started(world: int, jobs: Sequence[TrainingJob], folder: Path) -> Iterator[list[Rank]]:
    """Start the ranks; none outlives the block."""
    with _forked(world, _train, ([job.model_dump_json() for job in jobs],), folder) as ranks:
        yield ranks


@contextmanager
def _forked(
    world: int, work: Callable[..., None], arguments: tuple[object, ...], folder: Path
) -> Iterator[list[Rank]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fixed = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    ranks = []
    for rank in range(world):
        log = folder / f"rank-{world}-{rank}.log"
        log.touch()
        own = {**fixed, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        process = _FORKS.Process(target=_run, args=(work, arguments, own, log))
        process.start()
        ranks.append(Rank(process, log))
    try:
        yield ranks
    finally:
        for each in ranks:
            each.send(signal.SIGKILL)
            each.wait(30)


def _run(
    work: Callable[..., None], arguments: tuple[object, ...], environ: dict[str, str], log: Path
) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.environ.update(environ)
    import torch.distributed as dist

    dist.init_process_group("gloo")
    work(*arguments)
    dist.destroy_process_group()


def _train(jobs: Sequence[str]) -> None:
    import torch.distributed as dist

    from llada.training.loop import run_rank

    for job in map(TrainingJob.model_validate_json, jobs):
        if dist.get_rank() == 0:
            Path(job.checkpoint_dir).mkdir(parents=True, exist_ok=True)
        dist.barrier()
        run_rank(job, run="test")
