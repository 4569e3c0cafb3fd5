"""Ray under this process: connect to a cluster, or start one node here and notice when it dies."""

import logging
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Lock, Thread

from pipelines.errors import WorkerError

SPARE_CPUS = 2
"""Logical CPUs beyond the machine's own, for Ray Data's read and write tasks."""
_LOST = (
    "\nRay's node on this machine ended (killed, or out of memory), and Ray ends this run with it. "
    "Run the same command again: finished stages and shards are kept.\n"
)
_starting = Lock()
_stopping = Event()


def start_ray(address: str | None = None) -> None:
    """Connect to a cluster, or start Ray on this machine; does nothing when Ray is already up.

    The first start on a cold disk can time out while Ray's agents import: tried twice.
    """
    import ray

    with _starting:  # stages that run at the same time share one Ray
        if not ray.is_initialized():
            _in_a_lasting_thread(lambda: _start_ray(address))


def _in_a_lasting_thread(start: Callable[[], None]) -> None:
    """Call `start` in a thread that lives as long as this process.

    The kernel ends Ray's processes when the *thread* that started them ends (PR_SET_PDEATHSIG), and
    the first stage to need Ray runs in a thread that ends with it.
    """
    outcome: SimpleQueue[BaseException | None] = SimpleQueue()

    def live() -> None:
        try:
            start()
        except BaseException as error:  # noqa: BLE001  a thread's edge: raised again below
            outcome.put(error)
            return
        outcome.put(None)
        Event().wait()

    Thread(target=live, name="ray-owner", daemon=True).start()
    failure = outcome.get()
    if failure is not None:
        raise failure


def _start_ray(address: str | None) -> None:
    import ray

    _quiet_ray()
    if address is not None:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        return
    for attempt in (1, 2):
        try:
            _start_local()
        except (RuntimeError, TimeoutError, ConnectionError) as error:
            ray.shutdown()
            if attempt == 2:
                raise WorkerError(
                    f"Ray did not start on this machine: {error}. Look at /tmp/ray/session_latest/"
                    "logs, make sure memory and /dev/shm are not exhausted, and run again."
                ) from error
        else:
            _watch_node()
            return


def _watch_node() -> None:
    """Say why, when the node dies under a run: Ray ends its driver without a word then."""
    import psutil

    _stopping.clear()
    nodes = [child for child in psutil.Process().children() if child.name() == "raylet"]
    if not nodes or not hasattr(os, "pidfd_open"):  # Ray is at home on Linux, and so is pidfd
        return
    ended = os.pidfd_open(nodes[-1].pid)

    def wait() -> None:
        select.select([ended], [], [])
        os.close(ended)
        if not _stopping.is_set():
            sys.stderr.write(_LOST)
            sys.stderr.flush()

    Thread(target=wait, name="ray-node", daemon=True).start()


def _start_local() -> None:
    import ray

    with _silenced_stderr():
        ray.init(
            address="local",
            # Ray Data hangs without a word when its actors leave less than one CPU to its own
            # read and write tasks, so there are always a few logical CPUs to spare.
            num_cpus=len(os.sched_getaffinity(0)) + SPARE_CPUS,
            object_store_memory=256 << 20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}},
        )


def _quiet_ray() -> None:
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    # Else a warning about Ray Data's own actors, which nobody here can act on, is printed.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


@contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Keep start-up chatter of Ray's child processes off the terminal."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def stop_ray() -> None:
    """Shut Ray down if this process started it."""
    if "ray" not in sys.modules:
        return
    import ray

    if ray.is_initialized():
        _stopping.set()
        ray.shutdown()
