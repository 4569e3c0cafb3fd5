"""The two executors of units: this process, and Ray Data with a pool of actors."""

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.errors import InputError, PipelineError, StoreError, WorkerError
from pipelines.shards import ShardRecord
from pipelines.workspace import Resources, UnitWorker, WorkerFactory

_ERRORS = {kind.__name__: kind for kind in (InputError, StoreError)}


class InProcess:
    """Runs units one after another in this process: for tests and for a REPL."""

    def connect(self) -> None:
        """Start Ray on this machine: training always runs on Ray."""
        start_ray()

    def map_units(
        self,
        factory: WorkerFactory,
        units: list[dict[str, Any]],
        resources: Resources,
        finished: Callable[[ShardRecord], None],
    ) -> list[ShardRecord]:
        """Run every unit here; `resources` cannot matter in one process."""
        worker = factory()
        records = []
        for unit in units:
            record = worker(unit)
            finished(record)
            records.append(record)
        return records


class OnRay:
    """Runs units as a Ray Data job over an actor pool; starts Ray at the first unit, not before."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address

    def connect(self) -> None:
        """Connect to the cluster, or start Ray on this machine."""
        start_ray(self._address)

    def map_units(
        self,
        factory: WorkerFactory,
        units: list[dict[str, Any]],
        resources: Resources,
        finished: Callable[[ShardRecord], None],
    ) -> list[ShardRecord]:
        """Run every unit on Ray; raises the worker's own error for the first unit that fails."""
        self.connect()
        import ray.data

        rows = [{"shard": unit["shard"], "unit": json.dumps(unit)} for unit in units]
        workers = max(1, min(resources.workers, len(rows)))
        jobs = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Shell,
            fn_constructor_args=(factory,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=resources.cpus_per_worker,
        )
        records = []
        for row in jobs.iter_rows():
            record = _record_or_raise(json.loads(row["result"]))
            finished(record)
            records.append(record)
        return records


class _Shell:
    """The worker process's edge: builds the worker once, and sends errors home as data.

    An exception that escaped here would make Ray Data drop a whole block or retry blindly.
    """

    def __init__(self, factory: WorkerFactory) -> None:
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
    )


def start_ray(address: str | None = None) -> None:
    """Connect to a cluster, or start Ray on this machine; does nothing when Ray is already up.

    The first start on a cold disk can time out while Ray's agents import: tried twice.
    """
    import ray

    if ray.is_initialized():
        return
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
            return


def _start_local() -> None:
    import ray

    with _silenced_stderr():
        ray.init(
            address="local",
            # Ray Data hangs without a word when its actors leave less than one CPU to its own
            # read and write tasks, so there are always a few logical CPUs to spare.
            num_cpus=max(4, os.cpu_count() or 1),
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
        ray.shutdown()
