"""The two executors of units: this process, and Ray Data with a pool of actors."""

import json
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

from pipelines import cpu_limit, machine, side_threads
from pipelines.errors import (
    InputError,
    PipelineError,
    StoreError,
    UnreachableError,
    WorkerError,
)
from pipelines.ray_node import start_ray
from pipelines.shards import ShardRecord
from pipelines.stopping import Stopped, StopSign
from pipelines.workspace import Capacity, Resources, Stop, UnitWorker, WorkerFactory

_POLL = 0.2
_ERRORS = {kind.__name__: kind for kind in (InputError, StoreError)}


class InProcess:
    """Runs units one after another in this process: for tests and for a REPL."""

    def __init__(self, *, cpus: float = 1.0) -> None:
        self._cpus = cpus

    def capacity(self) -> Capacity:
        """Return as many CPUs as it was told to take for there."""
        return Capacity(cpus=self._cpus, memory_gb=machine.memory_gb(), gpus=0)

    def lacking(self, resources: Resources, *, together: bool) -> str | None:
        """Return None: `resources` cannot matter in one process."""
        return None

    def connect(self) -> None:
        """Start Ray on this machine: training always runs on Ray."""
        start_ray()

    def map_units(
        self,
        factory: WorkerFactory,
        units: list[dict[str, Any]],
        resources: Resources,
        finished: Callable[[ShardRecord], None],
        stop: Stop,
    ) -> list[ShardRecord]:
        """Run every unit here; `resources` cannot matter in one process."""
        worker = factory()
        records = []
        for unit in units:
            stop.check()
            reason = stop.sign.reason() if stop.sign else None
            if reason:
                raise Stopped(reason)
            record = worker(unit)
            finished(record)
            records.append(record)
        return records


class OnRay:
    """Runs units as a Ray Data job over an actor pool; starts Ray at the first unit, not before."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address

    def capacity(self) -> Capacity:
        """Return what this machine has, or the cluster less what Ray Data needs to breathe."""
        if self._address is None:
            return machine.capacity()
        self.connect()
        import ray

        found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return Capacity(
            cpus=max(1.0, found.get("CPU", 1.0) - machine.SPARE_CPUS),
            memory_gb=found.get("memory", 0.0) / 1e9,
            gpus=found.get("GPU", 0.0),
        )

    def lacking(self, resources: Resources, *, together: bool) -> str | None:
        """Return what can never be had on this machine; a cluster may grow, so None for one."""
        return machine.lacking(resources, together=together) if self._address is None else None

    def connect(self) -> None:
        """Connect to the cluster, or start Ray on this machine."""
        start_ray(self._address)

    def map_units(
        self,
        factory: WorkerFactory,
        units: list[dict[str, Any]],
        resources: Resources,
        finished: Callable[[ShardRecord], None],
        stop: Stop,
    ) -> list[ShardRecord]:
        """Run every unit on Ray; raises the worker's own error for the first unit that fails.

        A lost worker, node or connection raises WorkerError with `may_pass`: worth another try.
        """
        self.connect()
        import ray.data

        largest_first = sorted(units, key=lambda unit: -unit.get("bytes", 0))  # to end together
        rows = [{"shard": unit["shard"], "unit": json.dumps(unit)} for unit in largest_first]
        workers = max(1, min(resources.workers, len(rows)))
        jobs = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Shell,
            fn_constructor_args=(factory, stop.sign),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=resources.cpus_per_worker,
            memory=resources.memory_gb_per_worker * 1e9 or None,
            num_gpus=resources.gpus_per_worker or None,
        )
        records = []
        stopped = None
        with closing(_drawn(jobs.iter_rows, stop)) as rows_done:
            for row in rows_done:
                result = json.loads(row["result"])
                if "stopped" in result:
                    stopped = str(result["stopped"])
                    continue
                record = _record_or_raise(result)
                finished(record)
                records.append(record)
        if stopped:
            raise Stopped(stopped)
        return records


def _drawn(
    rows: Callable[[], Iterable[dict[str, Any]]], stop: Stop
) -> Generator[dict[str, Any], None, None]:
    """Yield rows of a Ray Data job from a thread of its own, so that waiting can be cut short.

    Ray Data's iterators block and cannot be cancelled; one that is given up (its reader closed this
    generator) ends at its next row, when its workers have seen the sign to stop, or with Ray.
    """
    import ray.exceptions

    arrived: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    given_up = Event()

    def draw() -> None:
        try:
            for row in rows():
                if given_up.is_set():
                    return
                arrived.put(("row", row))
            arrived.put(("end", None))
        except BaseException as error:  # noqa: BLE001  a thread's edge: raised again below
            arrived.put(("error", error))

    side_threads.start(draw, "ray-data")
    try:
        while True:
            stop.check()
            try:
                kind, value = arrived.get(timeout=_POLL)
            except Empty:
                continue
            if kind == "end":
                return
            if kind == "row":
                yield value
            elif isinstance(value, ray.exceptions.RayError | ConnectionError | TimeoutError):
                lost = f"Ray lost the work: {_first_line(value)}"
                raise WorkerError(lost, may_pass=True) from value
            else:
                raise value
    finally:
        given_up.set()


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


class _Shell:
    """The worker process's edge: builds the worker once, and sends errors home as data.

    An exception that escaped here would make Ray Data drop a whole block or retry blindly.
    """

    def __init__(self, factory: WorkerFactory, sign: StopSign | None) -> None:
        cpu_limit.expend()
        self._sign = sign
        self._failure: dict[str, Any] | None = None
        self._worker: UnitWorker | None = None
        try:
            self._worker = factory()
        except Exception as error:  # noqa: BLE001  the process edge: reported by __call__
            self._failure = _failure(error, "while the worker was set up")

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        results = []
        for shard, unit in zip(batch["shard"], batch["unit"], strict=True):
            results.append(json.dumps(self._run(str(shard), json.loads(str(unit)))))
        return {"result": results}

    def _run(self, shard: str, unit: dict[str, Any]) -> dict[str, Any]:
        if self._worker is None:
            return self._failure or {}
        reason = self._sign.reason() if self._sign else None
        if reason:
            return {"stopped": reason}
        try:
            return {"record": self._worker(unit).model_dump(mode="json")}
        except Exception as error:  # noqa: BLE001  the process edge: raised again by the driver
            return _failure(error, f"in unit {shard}")


def _failure(error: Exception, where: str) -> dict[str, Any]:
    known = isinstance(error, PipelineError | ValueError)
    return {
        "error": type(error).__name__,
        "message": str(error) if known else f"{type(error).__name__}: {error}",
        "where": where,
        "traceback": traceback.format_exc(),
        "may_pass": isinstance(error, ConnectionError | TimeoutError | UnreachableError),
    }


def _record_or_raise(result: Mapping[str, Any]) -> ShardRecord:
    if "record" in result:
        return ShardRecord.model_validate(result["record"])
    kind = _ERRORS.get(str(result.get("error")))
    if kind is not None:
        raise kind(str(result["message"]))
    raise WorkerError(
        f"a worker failed {result.get('where')}: {result.get('message')}",
        worker_traceback=str(result.get("traceback", "")),
        may_pass=bool(result.get("may_pass")),
    )
