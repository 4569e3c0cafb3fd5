"""What a stage function is given: its inputs, a folder to write into, and hands to work with."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from pipelines.errors import StoreError
from pipelines.ledger import Ledger
from pipelines.shards import FileEntry, Role, ShardRecord


class Resources(BaseModel):
    """How much of the machine a stage may use; never part of a stage's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    workers: int = Field(default=2, ge=1)
    cpus_per_worker: float = Field(default=0.5, gt=0)
    max_failures: int = Field(default=2, ge=0)


@dataclass(frozen=True)
class InputArtifact:
    """A published artifact, read through its manifest's file list and nothing else."""

    name: str
    kind: str
    digest: str
    root: Path
    files: tuple[FileEntry, ...]
    info: Mapping[str, Any] = field(default_factory=dict)

    def entries(self, role: Role = "data") -> tuple[FileEntry, ...]:
        """Return the files of one role in shard order."""
        return tuple(sorted((f for f in self.files if f.role == role), key=lambda f: f.path))

    def paths(self, role: Role = "data") -> tuple[Path, ...]:
        """Return the checked paths of one role; raises StoreError where a file is gone or cut."""
        return tuple(self.path(entry) for entry in self.entries(role))

    def path(self, entry: FileEntry) -> Path:
        """Return the path of one file after checking its size against the manifest."""
        path = self.root / entry.path
        found = path.stat().st_size if path.is_file() else None
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
            yield pq.read_table(path, columns=columns, partitioning=None)


class UnitWorker(Protocol):
    """Turns one unit of work into one shard record; built once a process, called often."""

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Do one unit: write its files, publish its record, return it."""
        ...


WorkerFactory = Callable[[], UnitWorker]


class Executor(Protocol):
    """Where units run: in this process (tests) or on Ray. A stage does not know which."""

    def connect(self) -> None:
        """Make sure Ray is up, for a stage that hands it a job of its own (training)."""
        ...

    def map_units(
        self,
        factory: WorkerFactory,
        units: list[dict[str, Any]],
        resources: Resources,
        finished: Callable[[ShardRecord], None],
    ) -> list[ShardRecord]:
        """Run every unit, calling `finished` as records arrive; order of the result is free."""
        ...


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
    root: Path
    attempt: str
    inputs: Mapping[str, InputArtifact]
    resources: Resources
    executor: Executor
    base: Path = field(default_factory=Path.cwd)
    """The folder that paths in a recipe are relative to."""
    on_progress: Callable[[Progress], None] = lambda _: None
    on_metrics: Callable[[int, Mapping[str, float]], None] = lambda _step, _values: None

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


def cache_of(store: Path) -> Path:
    """Return the folder of a store for what may be lost at any time."""
    return store / "_cache"
