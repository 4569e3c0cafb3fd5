"""Run one step of deduplication as units with records."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.dedup.layout import Job
from pipelines.executors import InProcess
from pipelines.shards import ShardRecord, save_record
from pipelines.units import run_units
from pipelines.workspace import Workspace

_SMALL_BYTES = 16 << 20
"""Compressed input up to which the steps between the first and the last are done by the driver:
starting workers for each would take longer than the work, and what it holds is bounded by this."""


class Part(BaseModel):
    """One unit of a step."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard: str
    number: int


class StepWorker:
    """Calls a step's function and publishes the record."""

    def __init__(self, job: Job, step: Callable[..., ShardRecord], inputs: tuple[Any, ...]) -> None:
        self._job, self._step, self._inputs = job, step, inputs

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Do one unit."""
        record = self._step(self._job, unit["shard"], unit["number"], *self._inputs)
        return save_record(self._job.root, record)


def run_step(
    workspace: Workspace,
    job: Job,
    step: Callable[..., ShardRecord],
    numbers: Iterable[int],
    *inputs: Any,
    name: str = "",
    heavy: bool = False,
) -> list[ShardRecord]:
    """Run `step(job, shard, number, *inputs) -> record` for each number of a unit or partition.

    A `heavy` step reads all text, and never on the driver.
    """
    name = name or step.__name__
    parts = [Part(shard=f"{name}-{number:05d}", number=number) for number in numbers]
    if not heavy and job.layout.bytes <= _SMALL_BYTES:
        workspace = replace(workspace, executor=InProcess())
    factory = partial(StepWorker, job, step, inputs)
    return run_units(workspace, parts, factory, unit=f"units of {name}")
