"""The run's own log: lines only ever appended, read as one value per step.

A killed run leaves a torn last line and a resumed one writes some steps again. So writers start on
a fresh line, readers skip what does not parse, and of a repeated step the last line counts: it
belongs to the weights that went on. (A prefix of a JSON object is never JSON.)
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from llada.training.errors import CheckpointError
from llada.training.job import StepMetrics

METRICS = "metrics.jsonl"
ATTEMPTS = "attempts.jsonl"

Line = TypeVar("Line", bound=BaseModel)


class Attempt(BaseModel):
    """One start of the worker group."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    first_step: int
    world_size: int
    passed_over: list[str]
    """Checkpoints found damaged."""


class Writer:
    """Appends lines to one file; only rank 0 holds one."""

    def __init__(self, path: Path) -> None:
        """Open `path`, after whatever an earlier attempt left there."""
        self._file = path.open("ab")
        self._file.write(b"\n")

    def append(self, line: BaseModel) -> None:
        """Write one line, visible to readers at once."""
        self._file.write(line.model_dump_json().encode() + b"\n")
        self._file.flush()

    def sync(self) -> None:
        """Bring the lines to the disk: before a checkpoint that makes them unrepeatable."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()


class Silent:
    """What the other ranks hold in place of a `Writer`."""

    def append(self, line: BaseModel) -> None:
        """Write nothing."""

    def sync(self) -> None:
        """Have nothing to bring to the disk."""


@contextmanager
def open_record(path: Path, *, writes: bool) -> Iterator[Writer | Silent]:
    """Open the record on the rank that writes it; all ranks then do the same."""
    if not writes:
        yield Silent()
        return
    with Writer(path) as writer:
        yield writer


class Tail:
    """Reads each step's line once, in order, while another process appends them.

    After a rollback the steps from there on come again: they have other numbers.
    """

    def __init__(self, path: Path) -> None:
        """Begin at step 0, even if the file does not exist yet."""
        self._path, self._offset, self._next, self._interventions = path, 0, 0, 0

    def new(self) -> Iterator[StepMetrics]:
        """Yield the steps that have appeared since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    return
                self._offset += len(raw)
                line = _parse(raw, StepMetrics)
                if line is None:
                    continue
                if line.interventions > self._interventions:
                    self._interventions, self._next = line.interventions, line.step
                if line.step == self._next:
                    self._next += 1
                    yield line


def read_metrics(path: Path, steps: int) -> list[StepMetrics]:
    """Return one line for each step in 0..steps-1.

    Raises:
        CheckpointError: a step is missing; the file was changed by someone else.
    """
    by_step = {line.step: line for line in read_lines(path, StepMetrics)}
    if missing := [step for step in range(steps) if step not in by_step]:
        msg = (
            f"{path} lacks {len(missing)} of {steps} steps, the first is {missing[0]}; it was "
            "edited or lost: start over in an empty checkpoint_dir"
        )
        raise CheckpointError(msg)
    return [by_step[step] for step in range(steps)]


def read_attempts(path: Path, run: str) -> list[Attempt]:
    """Return the starts of the worker group within one call of `train`."""
    return [line for line in read_lines(path, Attempt) if line.run == run]


def lost_seconds(path: Path) -> float:
    """Return the clock of lost work: seconds of steps that were computed, then computed again.

    Kills and rollbacks throw them away. A step that was under way when a worker died has no line
    and is not counted.
    """
    latest: dict[int, float] = {}
    lost = 0.0
    for line in read_lines(path, StepMetrics):
        lost += latest.get(line.step, 0.0)
        latest[line.step] = line.seconds
    return lost


def read_lines(path: Path, kind: type[Line]) -> list[Line]:
    """Return the lines of one kind, without those torn by a crash."""
    parsed = [_parse(raw, kind) for raw in path.read_bytes().splitlines()]
    return [line for line in parsed if line is not None]


def _parse(raw: bytes, kind: type[Line]) -> Line | None:
    try:
        return kind.model_validate_json(raw)
    except ValidationError:
        return None
