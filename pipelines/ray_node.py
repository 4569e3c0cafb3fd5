"""Ray under this process: connect to a cluster, or start one node here and notice when it dies."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Event, Lock, Thread

from pipelines import machine, node_watch, side_threads
from pipelines.errors import WorkerError

_LOOK = 0.1
_LAST_MOMENT = 5.0
_starting = Lock()
_watches: list["_Watch"] = []


def start_ray(address: str | None = None) -> None:
    """Connect to a cluster, or start Ray on this machine; does nothing when Ray is already up.

    The first start on a cold disk can time out while Ray's agents import: tried twice.
    """
    # Read when ray is imported. Else whatever still runs when Ray is stopped (the thread of a Ray
    # Data job that was given up) would start a second Ray, with a node of its own that nobody ends.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
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
        watch = _Watch()
        _watches.append(watch)
        watch.start()
        try:
            _start_local()
        except Exception as error:  # Ray raises plain ones, too, when a node times out
            watch.expect_the_end()
            ray.shutdown()
            if attempt == 2:
                raise WorkerError(
                    f"Ray did not start on this machine: {str(error).rstrip('.')}. Wait until "
                    "other heavy work here has ended, make sure memory and /dev/shm are not "
                    "exhausted, and run again. Its logs: /tmp/ray/session_latest/logs."
                ) from error
        else:
            return


class _Watch:
    """Says why, when the node dies under a run: Ray ends its driver without a word then."""

    def __init__(self) -> None:
        self._expected = Event()
        self._lock = Lock()
        self._terminal = os.dup(2)  # standard error is silenced while Ray starts
        self._watcher: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Look for the node from a thread of its own, then leave it to a process."""
        if hasattr(os, "pidfd_open"):  # Ray is at home on Linux, and so is pidfd
            Thread(target=self._find, name="ray-node", daemon=True).start()

    def expect_the_end(self) -> None:
        """Keep quiet: this process stops the node itself."""
        with self._lock:
            self._expected.set()
            if self._watcher is not None:
                with suppress(BrokenPipeError):  # it has ended, and said why
                    self._watcher.communicate(b"q")
                self._watcher = None

    def _find(self) -> None:
        while (node := _node()) is None:
            if self._expected.wait(_LOOK):
                return
        with self._lock:
            if not self._expected.is_set():
                self._watcher = subprocess.Popen(
                    [sys.executable, "-I", "-S", node_watch.__file__, str(node)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=self._terminal,
                    start_new_session=True,  # Ctrl-C is the run's to hear
                )


def _node() -> int | None:
    """Return the process id of the node that this process started."""
    import psutil

    for child in psutil.Process().children():
        with suppress(psutil.Error):  # one that has ended meanwhile
            if child.name() == "raylet" and child.status() != psutil.STATUS_ZOMBIE:
                return int(child.pid)
    return None


def _start_local() -> None:
    import ray

    with _silenced_stderr():
        ray.init(
            address="local",
            # Ray Data hangs without a word when its actors leave less than one CPU to its own
            # read and write tasks, so there are always a few logical CPUs to spare.
            num_cpus=len(os.sched_getaffinity(0)) + machine.SPARE_CPUS,
            # What the runner shares out; Ray would take what happens to be free just now.
            _memory=int(machine.memory_gb() * 1e9),
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
    # A job given up at Ctrl-C may still be cancelling tasks of a Ray that is gone: no news.
    logging.getLogger("ray.data.exceptions").addFilter(_ray_is_up)


def _ray_is_up(_record: logging.LogRecord) -> bool:
    import ray

    return bool(ray.is_initialized())


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
    """Shut Ray down if this process started it, but not under threads that may be inside it.

    Those have a moment to end. Ray then goes with this process: `side_threads.leave`.
    """
    if "ray" not in sys.modules:
        return
    import ray

    if ray.is_initialized():
        for watch in _watches:
            watch.expect_the_end()
        if side_threads.have_ended(within=_LAST_MOMENT):
            ray.shutdown()
