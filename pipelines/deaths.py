"""Units on which worker processes die: counted, looked into document by document, and named.

Ray starts a dead worker again and repeats its unit, however often: right for a machine that goes,
endless for a document that crashes a library. So a worker notes in the store that it begins a unit,
and takes the note back when it is through; notes that are left count the deaths.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

from pipelines import storage
from pipelines.errors import WorkerError
from pipelines.shards import ShardRecord
from pipelines.storage import StorePath
from pipelines.workspace import WorkerFactory

CAREFUL_AFTER = 2
"""Deaths of a unit after which documents are worked on in a process apart: one may be chance."""
MOST = 5

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class CrashError(Exception):
    """The process that worked on something died: killed, out of memory, or crashed by it."""


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
                f"({unit.get('path', 'no file')}), one after the other: killed for want of memory, "
                "or crashed by a document. Give workers more memory (memory_gb_per_worker) or take "
                "the document out, and run again: finished units are kept"
            )
        try:
            if deaths >= CAREFUL_AFTER and isinstance(self._worker, CarefulWorker):
                return self._worker.carefully(unit)
            return self._worker(unit)
        finally:  # whatever was raised, this process lives
            for note in notes[: deaths + 1]:
                storage.delete(note)


class InChild(Generic[Argument, Result]):
    """A function that runs in a process of its own, which it may crash; a context manager."""

    def __init__(self, factory: Callable[[], Callable[[Argument], Result]]) -> None:
        """Start nothing yet; `factory` builds the function there and must be picklable."""
        self._factory = factory
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        """Return the function."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def __call__(self, argument: Argument) -> Result:
        """Return what the function returns, or raise what it raises.

        Raises:
            CrashError: its process died; the next call has a new one.
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, get_context("spawn"), initializer=_build, initargs=(self._factory,)
            )
        try:
            found: Result = self._pool.submit(_call, argument).result()
        except BrokenProcessPool:
            self.__exit__()
            raise CrashError("the process that worked on it died") from None
        return found


_built: list[Callable[[Any], Any]] = []  # of the child process: one function


def _build(factory: Callable[[], Callable[[Any], Any]]) -> None:
    _built.append(factory())


def _call(argument: Any) -> Any:
    return _built[0](argument)
