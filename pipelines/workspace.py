"""What a stage function is given: its inputs, a folder to write into, and hands to work with."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Annotated, Any, Protocol

import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from llada.training.accelerators import accelerator
from llada.training.retention import RetentionConfig
from pipelines import storage
from pipelines.errors import StoreError
from pipelines.ledger import Ledger
from pipelines.local_copies import Bundle, home_of
from pipelines.shards import FileEntry, Role, ShardRecord, read_table
from pipelines.stopping import Stopped, StopSign
from pipelines.storage import StorePath

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> object:
    """Read "6h" as 21600; everything else is left for pydantic to judge."""
    if isinstance(value, str) and value[-1:] in _UNITS:
        try:
            return float(value[:-1]) * _UNITS[value[-1]]
        except ValueError as error:
            raise ValueError("found no number before the unit; write 90, 90s, 30m, 6h") from error
    return value


_YEAR = 366 * 86400.0
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=_YEAR)]


class Resources(BaseModel):
    """How much of the machine a stage may use, and how patiently; never part of its identity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    workers: int = Field(default=2, ge=1)
    cpus_per_worker: float = Field(default=0.5, gt=0)
    memory_gb_per_worker: float = Field(default=0.0, ge=0)
    """What Ray reserves a worker, in GB; 0 reserves nothing."""
    gpus_per_worker: float = Field(default=0.0, ge=0)
    gpu: str | None = None
    """Which GPU that is, for a plan to say whether a training fits and how long it takes; a row of
    llada.training.accelerators. It chooses nothing: null where nothing is to be checked."""
    max_failures: int = Field(default=2, ge=0)
    """Restarts of a training's worker group."""
    stall_seconds: float = Field(default=45.0, ge=5)
    """How long a training's worker may give no sign of life before it is ended and restarted."""
    checkpoints: RetentionConfig = RetentionConfig()
    """Which of a training's checkpoints stay: the last, every so many tokens, the best."""
    retries: int = Field(default=2, ge=0)
    """Times the stage is tried again after a fault that may pass: a lost worker, a lost network."""
    timeout: Seconds | None = None
    """How long one stage may take before it is stopped: 90, "90s", "30m", "6h", "3d"."""

    @field_validator("gpu")
    @classmethod
    def _known_gpu(cls, gpu: str | None) -> str | None:
        if gpu is not None:
            accelerator(gpu)
        return gpu

    @property
    def cpus(self) -> float:
        """CPUs of all workers together."""
        return self.workers * self.cpus_per_worker

    @property
    def memory_gb(self) -> float:
        """GB of all workers together."""
        return self.workers * self.memory_gb_per_worker

    @property
    def gpus(self) -> float:
        """GPUs of all workers together."""
        return self.workers * self.gpus_per_worker


@dataclass(frozen=True)
class Capacity:
    """What stages that run side by side may take together."""

    cpus: float
    memory_gb: float
    gpus: float


@dataclass(frozen=True)
class InputArtifact:
    """A published artifact, read through its manifest's file list and nothing else."""

    name: str
    kind: str
    digest: str
    root: StorePath
    files: tuple[FileEntry, ...]
    info: Mapping[str, Any] = field(default_factory=dict)

    def entries(self, role: Role = "data") -> tuple[FileEntry, ...]:
        """Return the files of one role in shard order."""
        return tuple(sorted((f for f in self.files if f.role == role), key=lambda f: f.path))

    def paths(self, role: Role = "data") -> tuple[StorePath, ...]:
        """Return the checked paths of one role; raises StoreError where a file is gone or cut."""
        entries = self.entries(role)
        found = storage.sizes(self.root, [entry.path for entry in entries])
        return tuple(self._checked(entry, found.get(entry.path)) for entry in entries)

    def bundle(self, role: Role = "data") -> Bundle:
        """Return the checked files of one role as what workers open as a local folder."""
        paths, entries = self.paths(role), self.entries(role)
        return Bundle(
            tuple((str(p), entry.xxh3_128) for p, entry in zip(paths, entries, strict=True))
        )

    def path(self, entry: FileEntry) -> StorePath:
        """Return the path of one file after checking its size against the manifest."""
        return self._checked(entry, storage.sizes(self.root, [entry.path]).get(entry.path))

    def _checked(self, entry: FileEntry, found: int | None) -> StorePath:
        path = self.root / entry.path
        if found != entry.bytes:
            state = "missing" if found is None else f"{found} bytes long"
            raise StoreError(
                f"{path}: the manifest of {self.name} promises {entry.bytes} bytes, the file is "
                f"{state}. The artifact was damaged after it was published: remove the folder "
                f"{self.root} and run again, which rebuilds it."
            )
        return path

    def tables(self, role: Role = "data", columns: list[str] | None = None) -> Iterable[pa.Table]:
        """Yield the Parquet files of one role, one table a file."""
        for path in self.paths(role):
            yield read_table(path, columns)


class UnitWorker(Protocol):
    """Turns one unit of work into one shard record; built once a process, called often."""

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Do one unit: write its files, publish its record, return it."""
        ...


WorkerFactory = Callable[[], UnitWorker]


class Executor(Protocol):
    """Where units run: in this process (tests) or on Ray. A stage does not know which."""

    def capacity(self) -> Capacity:
        """Return what there is to share; asked when a second stage could start."""
        ...

    def lacking(self, resources: Resources, *, together: bool) -> str | None:
        """Return what workers ask for that can never be had here, None where waiting may help.

        `together`: all of them must run at once, as a training's.
        """
        ...

    def connect(self) -> None:
        """Make sure Ray is up, for a stage that hands it a job of its own (training)."""
        ...

    def map_units(
        self,
        factory: WorkerFactory,
        units: list[dict[str, Any]],
        resources: Resources,
        finished: Callable[[ShardRecord], None],
        stop: "Stop",
    ) -> list[ShardRecord]:
        """Run every unit, calling `finished` as records arrive; order of the result is free.

        Raises:
            Stopped: `stop` said so before every unit was done; those in flight are, where there
                was time.
        """
        ...


@dataclass(frozen=True)
class Stop:
    """How an attempt is told to end: a sign that its workers read, and a word to its driver."""

    sign: StopSign | None = None
    """Read before each unit: what is in flight is finished."""
    now: Event = field(default_factory=Event)
    """Set where there is no time for that: a second Ctrl-C, a time-out, a lost lease."""

    def check(self) -> None:
        """Raise Stopped where the attempt is to end at once."""
        if self.now.is_set():
            raise Stopped("it was cancelled")


@dataclass(frozen=True)
class Progress:
    """How far a stage is; `done` and `total` are counted in `unit`."""

    done: float
    total: float
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Workspace:
    """The hands of one attempt at one stage."""

    stage: str
    root: StorePath
    attempt: str
    inputs: Mapping[str, InputArtifact]
    resources: Resources
    executor: Executor
    base: Path = field(default_factory=Path.cwd)
    """The folder that paths in a recipe are relative to."""
    on_progress: Callable[[Progress], None] = lambda _: None
    on_metrics: Callable[[int, Mapping[str, float]], None] = lambda _step, _values: None
    stop: Stop = field(default_factory=Stop)
    earlier: InputArtifact | None = None
    """What this stage made of the same inputs by the same code under a config that shares work."""

    @property
    def cache(self) -> Path:
        """Where what may be lost at any time is remembered, for the whole store."""
        return cache_of(self.root.parents[1])

    def input(self, slot: str) -> InputArtifact:
        """Return the artifact bound to a slot."""
        return self.inputs[slot]


@dataclass(frozen=True)
class StageOutput:
    """What a stage function returns; the runner checks it and publishes the manifest."""

    files: tuple[FileEntry, ...]
    ledger: Ledger
    metrics: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    schema: str = ""


def cache_of(store: StorePath) -> Path:
    """Return the local folder of a store for what may be lost at any time."""
    return home_of(store) / "_cache"
