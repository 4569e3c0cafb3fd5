"""One run under way: starts stages as inputs appear, hears how they end, tells the journal."""

import time
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from pipelines import side_threads
from pipelines.stopping import Stopped
from pipelines.workspace import Progress
from workflows.artifact import Artifact
from workflows.attempt import Attempt, Ears, RunFacts, StageResult
from workflows.errors import DriftError, InterruptedRun, QuarantineError, StageError, UsageError
from workflows.journal import Event, Journal
from workflows.lease import Waiting
from workflows.plan import Planned
from workflows.recipe import Recipe
from workflows.schedule import Schedule
from workflows.stage import Stage

if TYPE_CHECKING:
    from workflows.runner import Runner

CANCEL = "cancel"
"""A file of that name in a run's folder asks the run to end; `llada cancel` writes it."""
_POLL = 0.2
_LOOK_FOR_CANCEL = 1.0


class Conductor:
    """One run under way: what is done, what runs, what failed."""

    def __init__(
        self, runner: "Runner", recipe: Recipe, plan: list[Planned], journal: Journal
    ) -> None:
        self._runner = runner
        self._journal = journal
        self._planned = {planned.stage.name: planned for planned in plan}
        self._schedule = Schedule(recipe.stages, runner.executor.capacity)
        self._done: dict[str, StageResult] = {}
        self._failed: list[StageError] = []
        self._stopped: list[str] = []
        self._running: dict[str, Attempt] = {}
        self._ended: SimpleQueue[tuple[Stage, StageResult | BaseException]] = SimpleQueue()
        self._held: set[str] = set()
        """Stages that are to run and wait for room."""
        self._asked = False
        self._next_look = 0.0
        self._facts = RunFacts(
            run_id=runner.run_id,
            recipe=recipe.name,
            command=runner.command,
            store=runner.planner.store,
            base=runner.planner.base,
            executor=runner.executor,
            times=runner.times,
        )
        self._ears = Ears(self._progressed, self._metrics, self._waiting, self._retried)

    def carry_out(self) -> tuple[StageResult, ...]:
        """Run stages as they become ready until none is left; an exception leaves none running."""
        try:
            while self._start_ready() or self._running:
                self._await_one()
        except BaseException:
            for attempt in self._running.values():
                attempt.cancel()
            raise
        if self._failed:
            raise _together(self._failed)
        if len(self._done) < len(self._planned):
            raise InterruptedRun("interrupted. Finished stages and shards are kept.")
        return tuple(self._done.values())

    def _start_ready(self) -> bool:
        """Start what can start; True where one was reused at once: more may be ready then."""
        self._look_for_cancel()
        if self._runner.is_finishing or (self._failed and not self._runner.keep_going):
            self._ask_all_to_finish()
            return False
        progressed = False
        for stage in self._schedule.ready(self._done.keys()):
            room = self._schedule.fits(stage)
            if stage.name in self._held and not room:
                continue  # deciding reads the store: not five times a second
            planned = self._decide(stage)
            if planned.verdict == "REUSE":
                assert planned.artifact is not None
                self._begin(planned)
                result = StageResult(stage, "reused", planned.why, planned.artifact, 0.0)
                self._finish(stage, result)
                progressed = True
            elif room:
                self._begin(planned)
                self._launch(planned)
            else:
                self._held.add(stage.name)
        return progressed

    def _decide(self, stage: Stage) -> Planned:
        """Decide a stage now that its inputs are there; a plan to reuse still holds."""
        inputs = self._inputs(stage)
        early = self._planned[stage.name]
        if early.verdict == "REUSE" and all(
            self._planned[name].artifact is self._done[name].artifact
            for name in stage.needs.values()
        ):
            return early
        planned = self._runner.planner.decide(stage, inputs)
        refuse_drift([planned])
        if planned.verdict != "REUSE" and not self._runner.may_run(stage):
            raise UsageError(f"'{stage.name}' is needed, is not selected and is not there any more")
        return planned

    def _inputs(self, stage: Stage) -> dict[str, Artifact]:
        return {slot: self._done[name].artifact for slot, name in stage.needs.items()}

    def _begin(self, planned: Planned) -> None:
        stage = planned.stage
        self._journal.write(
            Event(kind="stage_started", stage=stage.name, data=_start_data(planned))
        )
        self._runner.tell(lambda listener: listener.stage_started(planned))

    def _launch(self, planned: Planned) -> None:
        stage = planned.stage
        attempt = Attempt(planned, self._inputs(stage), self._facts, self._ears)
        self._schedule.started(stage)
        self._running[stage.name] = attempt

        def work() -> None:
            try:
                self._ended.put((stage, attempt.execute()))
            except BaseException as error:  # noqa: BLE001  a thread's edge: raised by the runner
                self._ended.put((stage, error))

        side_threads.start(work, stage.name)

    def _await_one(self) -> None:
        if not self._running:
            return
        try:
            stage, ended = self._ended.get(timeout=_POLL)
        except Empty:
            return
        del self._running[stage.name]
        self._schedule.ended(stage)
        if isinstance(ended, StageResult):
            self._finish(stage, ended)
            return
        self._runner.tell(lambda listener: listener.stage_ended(stage))
        if isinstance(ended, Stopped):
            self._stopped.append(stage.name)
            data: dict[str, Any] = {"reason": str(ended)}
            self._journal.write(Event(kind="stage_stopped", stage=stage.name, data=data))
        elif isinstance(ended, StageError):
            data = {"error": str(ended), "quarantined": isinstance(ended, QuarantineError)}
            self._journal.write(Event(kind="stage_failed", stage=stage.name, data=data))
            self._failed.append(ended)
            self._runner.tell(lambda listener: listener.said(stage, f"FAILED  {ended}"))
        else:
            raise ended

    def _finish(self, stage: Stage, result: StageResult) -> None:
        self._done[stage.name] = result
        self._schedule.finished(stage)
        data = _end_data(result)
        self._journal.write(Event(kind="stage_finished", stage=stage.name, data=data))
        self._runner.tell(lambda listener: listener.stage_finished(result))

    def _look_for_cancel(self) -> None:
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_FOR_CANCEL
            if (self._journal.folder / CANCEL).exists():
                self._runner.finish_soon()

    def _ask_all_to_finish(self) -> None:
        if not self._asked:
            self._asked = True
            for attempt in self._running.values():
                attempt.finish_soon()

    def _progressed(self, stage: Stage, progress: Progress) -> None:
        self._runner.tell(lambda listener: listener.progressed(stage, progress))

    def _metrics(self, stage: Stage, step: int, values: Mapping[str, float]) -> None:
        data = {"values": dict(values)}
        self._journal.write(Event(kind="metrics", stage=stage.name, step=step, data=data))

    def _waiting(self, stage: Stage, seen: Waiting) -> None:
        who = seen.holder
        name = f"run {who.run_id} on {who.process.host} (pid {who.process.pid})" if who else "a run"
        done, total = seen.progress.get("done"), seen.progress.get("total")
        far = f", {done:,.0f}/{total:,.0f} {seen.progress['unit']}" if total else ""
        self._runner.tell(lambda listener: listener.said(stage, f"WAITS   {name} works on it{far}"))

    def _retried(self, stage: Stage, number: int, error: str) -> None:
        data = {"number": number, "error": error}
        self._journal.write(Event(kind="stage_retried", stage=stage.name, data=data))
        message = f"RETRY   {number} of {stage.resources.retries}: {error}"
        self._runner.tell(lambda listener: listener.said(stage, message))


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


def _end_data(result: StageResult) -> dict[str, Any]:
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


def _together(failed: list[StageError]) -> StageError:
    if len(failed) == 1:
        return failed[0]
    lines = "\n".join(f"  {error.stage}: {error}" for error in failed)
    details = "\n".join(error.details for error in failed if error.details)
    names = ", ".join(error.stage for error in failed)
    return StageError(names, f"{len(failed)} stages failed:\n{lines}", details=details)


def refuse_drift(plan: list[Planned]) -> None:
    """Raise DriftError where pinned code changed and no one accepted it."""
    drifted = [planned for planned in plan if planned.verdict == "DRIFT"]
    if drifted:
        lines = "\n".join(f"  {p.stage.name}: {p.why}" for p in drifted)
        names = ",".join(p.stage.name for p in drifted)
        raise DriftError(
            f"pinned code changed since these artifacts were built:\n{lines}\n"
            f"Use them as they are with --accept-drift, or rebuild with --force {names}."
        )
