"""One stage of a run, from the decision to run it to its published artifact; lives in a thread.

The order is the safety: take the lease, write shards and their records, look at the result, publish
the manifest by put-if-absent, give the lease back. A kill between any two of these leaves what the
next run goes on from.
"""

import getpass
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.checks import CHECKS, CheckResult, Result, examine
from pipelines.errors import PipelineError, WorkerError
from pipelines.stopping import Stopped
from pipelines.storage import StorePath, explained
from pipelines.workspace import (
    Executor,
    InputArtifact,
    Progress,
    StageOutput,
    Stop,
    Workspace,
)
from workflows import artifact as artifacts
from workflows import environment, lease, quarantine
from workflows.artifact import Artifact, Manifest
from workflows.earlier import sparing
from workflows.errors import QuarantineError, StageError
from workflows.kinds import STAGE_KINDS
from workflows.lease import Holder, Lease, Times, Waiting
from workflows.liveness import Process
from workflows.plan import Planned
from workflows.stage import Stage

Cache = Literal["reused", "ran", "resumed"]
_GRACE = 20.0
"""Seconds between asking a stage that ran out of time to end, and cancelling it."""
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class StageResult:
    """How one stage of a run ended."""

    stage: Stage
    cache: Cache
    why: str
    artifact: Artifact
    seconds: float


@dataclass(frozen=True)
class RunFacts:
    """What every stage of a run shares."""

    run_id: str
    recipe: str
    command: str
    store: StorePath
    base: Path
    executor: Executor
    times: Times


@dataclass(frozen=True)
class Ears:
    """Who hears of an attempt; called from its thread."""

    progressed: Callable[[Stage, Progress], None]
    metrics: Callable[[Stage, int, Mapping[str, float]], None]
    waiting: Callable[[Stage, Waiting], None]
    retried: Callable[[Stage, int, str], None]


@dataclass
class Attempt:
    """Runs one planned stage. `finish_soon` and `cancel` may be called from any thread."""

    planned: Planned
    inputs: Mapping[str, Artifact]
    run: RunFacts
    ears: Ears
    stop: threading.Event = field(default_factory=threading.Event)
    """Set once asked to finish what is in flight."""
    now: threading.Event = field(default_factory=threading.Event)
    """Set once there is no time for that."""
    _lease: Lease | None = None
    _timed_out: bool = False

    def finish_soon(self) -> None:
        """Let the units in flight end, start no more."""
        self.stop.set()
        if self._lease is not None:
            self._lease.ask_to_stop()

    def cancel(self) -> None:
        """End at once; unfinished units are lost, finished ones stay."""
        self.finish_soon()
        self.now.set()

    def execute(self) -> StageResult:
        """Bring the stage to a published artifact: by working, or by waiting for who works on it.

        Raises:
            Stopped: it was asked to end.
            QuarantineError: a check of the result failed.
            StageError: it failed, also when tried again where that made sense.
        """
        stage, started = self.planned.stage, time.monotonic()
        folder = self._folder()
        try:
            if isinstance(folder, Path):
                with explained(folder):
                    folder.mkdir(parents=True, exist_ok=True)
            while True:
                self._lease = held = self._acquire(folder)
                if held is None:
                    return self._adopted(folder, started)
                try:
                    return self._work(folder, held, started)
                except Stopped:
                    if self.stop.is_set() or not held.is_lost():
                        raise
                    self.now.clear()  # another run took over: wait for what it makes
                finally:
                    held.release()
        except WorkerError as error:
            raise StageError(stage.name, str(error), details=error.worker_traceback) from error
        except (PipelineError, ValueError, OSError) as error:
            raise StageError(stage.name, str(error) or repr(error)) from error

    def _acquire(self, folder: StorePath) -> Lease | None:
        stage = self.planned.stage
        return lease.acquire(
            folder,
            Holder(run_id=self.run.run_id, process=Process.this(), command=self.run.command),
            self.run.times,
            is_published=(folder / artifacts.MANIFEST).exists,
            on_lost=self.now.set,
            waiting=lambda seen: self.ears.waiting(stage, seen),
            stop=self.stop,
        )

    def _adopted(self, folder: StorePath, started: float) -> StageResult:
        artifact = artifacts.load(folder)
        assert artifact is not None
        why = f"built meanwhile by run {artifact.manifest.run_id}"
        seconds = time.monotonic() - started
        return StageResult(self.planned.stage, "reused", why, artifact, seconds)

    def _work(self, folder: StorePath, held: Lease, started: float) -> StageResult:
        stage = self.planned.stage
        with _Deadline(stage.resources.timeout, self._ask_late, self.now.set):
            output = self._tried(folder, held)
        if self.now.is_set():
            self._stopped("it was cancelled")
        manifest = self._manifest(output, self._checked(folder, output), time.monotonic() - started)
        if not all(check.ok for check in manifest.checks):
            kept = quarantine.hold(folder, manifest)
            raise QuarantineError(stage.name, folder.name, kept.reason)
        artifact = artifacts.publish(folder, manifest)
        quarantine.release(folder)
        if artifact.manifest.run_id != self.run.run_id:
            return self._adopted(folder, started)
        cache: Cache = "resumed" if self.planned.verdict == "RESUME" else "ran"
        return StageResult(stage, cache, self.planned.why, artifact, manifest.seconds)

    def _tried(self, folder: StorePath, held: Lease) -> StageOutput:
        """Call the stage's function, again after faults that may pass."""
        stage = self.planned.stage
        for number in range(stage.resources.retries + 1):
            try:
                return self._call(folder, held)
            except Stopped as stopped:
                self._stopped(str(stopped))
            except (WorkerError, ConnectionError, TimeoutError) as error:
                passing = not isinstance(error, WorkerError) or error.may_pass
                if not passing or number == stage.resources.retries:
                    raise
                self.ears.retried(stage, number + 1, str(error))
                if self.stop.wait(min(_LONGEST_PAUSE, 2.0**number)):
                    self._stopped("it was asked to stop")
        raise AssertionError("unreachable: the last try returns or raises")

    def _call(self, folder: StorePath, held: Lease) -> StageOutput:
        stage = self.planned.stage
        stop = Stop(held.sign, self.now)

        def progressed(progress: Progress) -> None:
            stop.check()
            held.progress = {"done": progress.done, "total": progress.total, "unit": progress.unit}
            self.ears.progressed(stage, progress)

        workspace = Workspace(
            stage=stage.name,
            root=folder,
            attempt=secrets.token_hex(4),
            inputs={slot: artifact.as_input() for slot, artifact in self.inputs.items()},
            resources=stage.resources,
            executor=self.run.executor,
            base=self.run.base,
            on_progress=progressed,
            on_metrics=lambda step, values: self.ears.metrics(stage, step, values),
            stop=stop,
            earlier=self._earlier(),
        )
        return STAGE_KINDS[stage.kind].run(workspace, stage.config)

    def _earlier(self) -> InputArtifact | None:
        """Return the earlier artifact of this stage that spares it work, unless it is forced."""
        stage, identity = self.planned.stage, self.planned.identity
        assert identity is not None
        kind = STAGE_KINDS[stage.kind]
        if kind.spared_by is None or self.planned.why == "forced":
            return None
        history = artifacts.history(self.run.store, stage.kind, stage.name)
        found = sparing(stage, kind, identity.inputs, identity.code, history)
        return None if found is None else found.as_input()

    def _stopped(self, reason: str) -> None:
        limit = self.planned.stage.resources.timeout
        if not self._timed_out:
            raise Stopped(reason)
        raise StageError(
            self.planned.stage.name,
            f"it took longer than its time-out of {limit:.0f} s. What it finished is kept: run "
            "again to go on, or give it longer with resources: {timeout: ...}",
        )

    def _ask_late(self) -> None:
        self._timed_out = True
        if self._lease is not None:
            self._lease.ask_to_stop()

    def _checked(self, folder: StorePath, output: StageOutput) -> tuple[CheckResult, ...]:
        stage = self.planned.stage
        kind = STAGE_KINDS[stage.kind]
        result = Result(folder, output, stage.checks)
        return tuple(examine(result, (*CHECKS[kind.makes], *kind.checks)))

    def _folder(self) -> StorePath:
        """Return the folder to build in: the unfinished one of this key, else a new generation."""
        planned = self.planned
        assert planned.identity is not None
        where = (self.run.store, planned.stage.kind, planned.stage.name, planned.identity.key)
        existing = artifacts.generations(*where)
        if existing and artifacts.load(existing[-1]) is None:
            return existing[-1]
        return artifacts.folder_of(*where, len(existing) + 1)

    def _manifest(
        self, output: StageOutput, checks: tuple[CheckResult, ...], seconds: float
    ) -> Manifest:
        stage, identity = self.planned.stage, self.planned.identity
        assert identity is not None
        kind = STAGE_KINDS[stage.kind]
        return Manifest(
            name=stage.name,
            kind=stage.kind,
            makes=kind.makes,
            key=identity.key,
            digest=artifacts.content_digest(output.files),
            config=stage.config_json(),
            inputs=identity.inputs,
            outside=identity.outside,
            files=output.files,
            schema_text=output.schema,
            ledger=output.ledger,
            metrics=output.metrics,
            info=output.info,
            version=kind.version,
            code_policy=kind.policy,
            code_hash=identity.code.digest,
            code_parts=identity.code.parts,
            commit=environment.commit(),
            dirty_diff=environment.dirty_diff(),
            packages=environment.packages(),
            created=artifacts.now(),
            seconds=round(seconds, 3),
            run_id=self.run.run_id,
            recipe=self.run.recipe,
            resources=stage.resources.model_dump(mode="json"),
            checks=checks,
        )


class _Deadline:
    """Calls `ask` when the time is over, and `insist` where asking did not help."""

    def __init__(
        self, seconds: float | None, ask: Callable[[], None], insist: Callable[[], None]
    ) -> None:
        self._timers: list[threading.Timer] = []
        if seconds is not None:
            grace = min(_GRACE, seconds)
            self._timers = [threading.Timer(seconds, ask), threading.Timer(seconds + grace, insist)]

    def __enter__(self) -> None:
        for timer in self._timers:
            timer.daemon = True
            timer.start()

    def __exit__(self, *_: Any) -> None:
        for timer in self._timers:
            timer.cancel()


def user() -> str:
    """Return who runs this, for notes that name a person."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        return "unknown"
