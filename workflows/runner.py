"""The runner carries a plan out: stage by stage, published by manifest, told to the journal."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pipelines.errors import PipelineError, WorkerError
from pipelines.storage import explained
from pipelines.workspace import Executor, Progress, StageOutput, Workspace
from workflows import artifact as artifacts
from workflows import environment
from workflows.artifact import Artifact, Manifest
from workflows.errors import DriftError, StageError
from workflows.journal import Event, Journal, runs_folder
from workflows.kinds import STAGE_KINDS
from workflows.plan import Planned, Planner
from workflows.recipe import Recipe
from workflows.stage import Stage

Cache = Literal["reused", "ran", "resumed"]


@dataclass(frozen=True)
class StageResult:
    """How one stage of a run ended."""

    stage: Stage
    cache: Cache
    why: str
    artifact: Artifact
    seconds: float


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    run_id: str
    recipe: Recipe
    store: Path
    stages: tuple[StageResult, ...]
    seconds: float


class Listener(Protocol):
    """Who watches a run: the terminal, the MLflow mirror, a test."""

    def stage_started(self, planned: Planned) -> None:
        """Hear that a stage is next."""
        ...

    def progressed(self, stage: Stage, progress: Progress) -> None:
        """Hear how far it is."""
        ...

    def stage_finished(self, result: StageResult) -> None:
        """Hear that it is published."""
        ...


@dataclass
class Runner:
    """Runs recipes against one store."""

    planner: Planner
    executor: Executor
    listeners: tuple[Listener, ...] = ()
    command: str = ""
    after_event: Callable[[Journal], None] = lambda _journal: None
    """Called after each stage, to mirror the journal while the run goes on."""
    run_id: str = field(
        default_factory=lambda: f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    )

    def run(self, recipe: Recipe) -> RunResult:
        """Run every stage that is not there yet.

        Raises:
            DriftError: before anything runs, where pinned code changed.
            StageError: what was published stays, finished shards too; run again to go on.
        """
        started = time.monotonic()
        plan = self.planner.plan(recipe)
        _refuse_drift(plan)
        journal = Journal(runs_folder(self.planner.store) / self.run_id)
        journal.write(Event(kind="run_started", data=self._run_data(recipe, plan)))
        status = "FAILED"
        try:
            results = self._stages(recipe, journal)
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            journal.write(Event(kind="run_finished", data={"status": status}))
            if status != "KILLED":  # who interrupts wants to leave; the next run mirrors the rest
                self.after_event(journal)
        seconds = time.monotonic() - started
        return RunResult(self.run_id, recipe, self.planner.store, results, seconds)

    def _stages(self, recipe: Recipe, journal: Journal) -> tuple[StageResult, ...]:
        done: dict[str, StageResult] = {}
        for stage in recipe.stages:
            inputs = {slot: done[name].artifact for slot, name in stage.needs.items()}
            planned = self.planner.decide(stage, inputs)
            _refuse_drift([planned])
            journal.write(Event(kind="stage_started", stage=stage.name, data=_start_data(planned)))
            for listener in self.listeners:
                listener.stage_started(planned)
            try:
                done[stage.name] = result = self._stage(planned, recipe, inputs, journal)
            except StageError as failure:
                data = {"error": str(failure)}
                journal.write(Event(kind="stage_failed", stage=stage.name, data=data))
                raise
            journal.write(
                Event(kind="stage_finished", stage=stage.name, data=self._end_data(result))
            )
            for listener in self.listeners:
                listener.stage_finished(result)
            self.after_event(journal)
        return tuple(done.values())

    def _stage(
        self, planned: Planned, recipe: Recipe, inputs: Mapping[str, Artifact], journal: Journal
    ) -> StageResult:
        if planned.verdict == "REUSE":
            assert planned.artifact is not None
            return StageResult(planned.stage, "reused", planned.why, planned.artifact, 0.0)
        started = time.monotonic()
        folder = self._folder(planned)
        output = self._call(planned.stage, folder, inputs, journal)
        seconds = time.monotonic() - started
        manifest = self._manifest(planned, recipe, output, seconds)
        artifact = artifacts.publish(folder, manifest)
        cache: Cache = "resumed" if planned.verdict == "RESUME" else "ran"
        return StageResult(planned.stage, cache, planned.why, artifact, seconds)

    def _call(
        self, stage: Stage, folder: Path, inputs: Mapping[str, Artifact], journal: Journal
    ) -> StageOutput:
        kind = STAGE_KINDS[stage.kind]

        def progressed(progress: Progress) -> None:
            for listener in self.listeners:
                listener.progressed(stage, progress)

        def metrics(step: int, values: Mapping[str, float]) -> None:
            journal.write(
                Event(kind="metrics", stage=stage.name, step=step, data={"values": dict(values)})
            )

        workspace = Workspace(
            stage=stage.name,
            root=folder,
            attempt=secrets.token_hex(4),
            inputs={slot: artifact.as_input() for slot, artifact in inputs.items()},
            resources=stage.resources,
            executor=self.executor,
            base=self.planner.base,
            on_progress=progressed,
            on_metrics=metrics,
        )
        try:
            with explained(folder):
                folder.mkdir(parents=True, exist_ok=True)
            output = kind.run(workspace, stage.config)
            output.ledger.balance(f"stage '{stage.name}'")
        except WorkerError as error:
            raise StageError(stage.name, str(error), details=error.worker_traceback) from error
        except (PipelineError, ValueError, OSError) as error:
            raise StageError(stage.name, str(error) or repr(error)) from error
        return output

    def _folder(self, planned: Planned) -> Path:
        """Return the folder to build in: the unfinished one of this key, else a new generation."""
        assert planned.identity is not None
        where = (self.planner.store, planned.stage.kind, planned.stage.name, planned.identity.key)
        existing = artifacts.generations(*where)
        if existing and artifacts.load(existing[-1]) is None:
            return existing[-1]
        return artifacts.folder_of(*where, len(existing) + 1)

    def _manifest(
        self, planned: Planned, recipe: Recipe, output: StageOutput, seconds: float
    ) -> Manifest:
        stage, kind = planned.stage, STAGE_KINDS[planned.stage.kind]
        identity = planned.identity
        assert identity is not None
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
            run_id=self.run_id,
            recipe=recipe.name,
        )

    def _run_data(self, recipe: Recipe, plan: list[Planned]) -> dict[str, Any]:
        return {
            "recipe": recipe.name,
            "run_id": self.run_id,
            "command": self.command,
            "commit": environment.commit(),
            "dirty_diff": environment.dirty_diff(),
            "plan": [planned.as_json() for planned in plan],
            **environment.process(),
        }

    def _end_data(self, result: StageResult) -> dict[str, Any]:
        m = result.artifact.manifest
        return {
            "cache": result.cache,
            "output": {
                "name": m.name,
                "digest": m.digest,
                "kind": m.kind,
                "path": str(result.artifact.folder),
            },
            "ledger": m.ledger.model_dump(mode="json"),
            "metrics": dict(m.metrics),
            "seconds": result.seconds,
            "producer": m.run_id,
            "model": m.makes == "model",
        }


def _start_data(planned: Planned) -> dict[str, Any]:
    assert planned.identity is not None
    refs = planned.identity.inputs
    return {
        "kind": planned.stage.kind,
        "key": planned.identity.key,
        "verdict": planned.verdict,
        "why": planned.why,
        "config": planned.stage.config_json(),
        "inputs": {slot: ref.model_dump(mode="json") for slot, ref in refs.items()},
    }


def _refuse_drift(plan: list[Planned]) -> None:
    drifted = [planned for planned in plan if planned.verdict == "DRIFT"]
    if drifted:
        lines = "\n".join(f"  {p.stage.name}: {p.why}" for p in drifted)
        names = ",".join(p.stage.name for p in drifted)
        raise DriftError(
            f"pinned code changed since these artifacts were built:\n{lines}\n"
            f"Use them as they are with --accept-drift, or rebuild with --force {names}."
        )
