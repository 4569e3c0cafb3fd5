"""Units on which worker processes die: counted, looked into document by document, and named.

Ray starts a dead worker again and repeats its unit, however often: right for a machine that goes,
endless for a document that crashes a library, or that `cpu_limit` ends a process for. So a worker
notes in the store that it begins a unit, and takes the note back when it is through; notes that are
left count the deaths.
"""

import pickle
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

from pipelines import cpu_limit, storage
from pipelines.errors import WorkerError
from pipelines.shards import ShardRecord
from pipelines.storage import StorePath
from pipelines.workspace import WorkerFactory

CAREFUL_AFTER = 2
"""Deaths of a unit after which documents are worked on in a process apart: one may be chance."""
MOST = 5
_NAMED = 3

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class CrashError(Exception):
    """The process that worked on something died: killed, out of memory or time, or crashed."""


@runtime_checkable
class CarefulWorker(Protocol):
    """A worker that can do a unit on which processes have died."""

    def carefully(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Do the unit as ever, but set aside the documents that crash a process (`InChild`)."""
        ...


class Watched:
    """A worker around another: it counts the processes that died on a unit before."""

    def __init__(self, factory: WorkerFactory, root: StorePath, attempt: str) -> None:
        """Build the worker; notes of this attempt go into `root`."""
        self._worker = factory()
        self._folder, self._attempt = root / "_begun", attempt

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Do a unit.

        Raises:
            WorkerError: `MOST` processes have died on it.
        """
        name = f"{unit['shard']}.{self._attempt}"
        notes = [self._folder / f"{name}.{number}" for number in range(MOST)]
        deaths = next((n for n, note in enumerate(notes) if storage.put_if_absent(note, b"")), MOST)
        if deaths == MOST:
            raise WorkerError(
                f"{MOST} worker processes died on unit {unit['shard']} "
                f"({_files_of(unit)}), one after the other: killed for want of memory, "
                "or crashed or kept busy by a document. Give workers more memory "
                "(memory_gb_per_worker) or take the document out, and run again: finished units "
                "are kept"
            )
        try:
            if deaths >= CAREFUL_AFTER and isinstance(self._worker, CarefulWorker):
                return self._worker.carefully(unit)
            return self._worker(unit)
        finally:  # whatever was raised, this process lives
            for note in notes[: deaths + 1]:
                storage.delete(note)


def _files_of(unit: Mapping[str, Any]) -> str:
    named = [portion["file"]["uri"] for portion in unit.get("portions", ())]
    if len(named) > _NAMED:
        named[_NAMED:] = [f"and {len(named) - _NAMED:,} more"]
    return ", ".join(named) or str(unit.get("path", "no file"))


class InChild(Generic[Argument, Result]):
    """A function that runs in a process of its own, which it may crash; a context manager."""

    def __init__(self, factory: Callable[[], Callable[[Argument], Result]]) -> None:
        """Start nothing yet; `factory` builds the function there and must be picklable."""
        self._factory = factory
        self._child: tuple[SpawnProcess, Connection] | None = None

    def __enter__(self) -> Self:
        """Return the function."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, at work or not."""
        if self._child is not None:
            self._child[0].terminate()
        self._end()

    def __call__(self, argument: Argument) -> Result:
        """Return what the function returns, or raise what it raises.

        Raises:
            CrashError: its process died; the next call has a new one.
        """
        if self._child is None:
            self._child = _started(self._factory)
        pipe = self._child[1]
        try:
            pipe.send(argument)
            found, error = pipe.recv()
        except (EOFError, OSError):  # the other end is gone
            raise CrashError(_last_words(self._end())) from None
        if error is not None:
            raise error
        result: Result = found
        return result

    def _end(self) -> int:
        """Return how the process ended, 0 where there was none."""
        if self._child is None:
            return 0
        process, pipe = self._child
        self._child = None
        pipe.close()  # it has nothing more to wait for
        process.join()
        return process.exitcode or 0


def _started(
    factory: Callable[[], Callable[[Argument], Result]],
) -> tuple[SpawnProcess, Connection]:
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, factory), daemon=True)
    process.start()
    theirs.close()  # else its end is never noticed
    return process, ours


def _serve(pipe: Connection, factory: Callable[[], Callable[[Any], Any]]) -> None:
    cpu_limit.expend()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that it works for
    function = factory()
    with suppress(EOFError, OSError):  # that needs no more, or is gone
        while True:
            argument = pipe.recv()
            answer: tuple[Any, Exception | None]
            try:
                answer = function(argument), None
            except Exception as error:  # noqa: BLE001  the process edge: raised again over there
                answer = None, _portable(error)
            pipe.send(answer)


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent: itself, or what it says."""
    try:
        pickle.loads(pickle.dumps(error))  # of this very process
    except Exception:  # noqa: BLE001  an error's class may do anything when it is taken apart
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _last_words(exit_code: int) -> str:
    if exit_code >= 0:
        return f"the process that worked on it ended with {exit_code}"
    number = signal.Signals(-exit_code)
    known = {
        cpu_limit.SIGNAL: ", for it took more processor time than any document should",
        signal.SIGKILL: ", as it does for want of memory",
    }
    return f"the process that worked on it died of {number.name}{known.get(number, '')}"
