"""The runner carries a plan out: stages side by side where they fit, told to a journal."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.storage import StorePath
from pipelines.workspace import Executor, Progress
from workflows import environment
from workflows.attempt import StageResult
from workflows.conductor import Conductor, refuse_drift
from workflows.errors import InterruptedRun, UsageError
from workflows.journal import Event, Journal, runs_folder
from workflows.kinds import STAGE_KINDS
from workflows.lease import Times
from workflows.plan import Planned, Planner
from workflows.recipe import Recipe
from workflows.stage import Stage

LOG = "log.txt"


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    run_id: str
    recipe: Recipe
    store: StorePath
    stages: tuple[StageResult, ...]
    seconds: float


class Listener(Protocol):
    """Who watches a run: the terminal, a test. Never called by two threads at once."""

    def stage_started(self, planned: Planned) -> None:
        """Hear that a stage is next."""
        ...

    def progressed(self, stage: Stage, progress: Progress) -> None:
        """Hear how far it is."""
        ...

    def said(self, stage: Stage, message: str) -> None:
        """Hear what a person should know: it waits for another run, it is tried again."""
        ...

    def stage_finished(self, result: StageResult) -> None:
        """Hear that it is published."""
        ...

    def stage_ended(self, stage: Stage) -> None:
        """Hear that it ended without a result."""
        ...


def new_run_id() -> str:
    """Return an id that sorts by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


@dataclass
class Runner:
    """Runs recipes against one store."""

    planner: Planner
    executor: Executor
    listeners: tuple[Listener, ...] = ()
    command: str = ""
    only: frozenset[str] | None = None
    """The stages that may run; None: all. What they need besides must be there."""
    keep_going: bool = False
    """Whether stages that do not follow from a failed one still run."""
    times: Times = field(default_factory=Times)
    run_id: str = field(default_factory=lambda: new_run_id())
    _stop: threading.Event = field(default_factory=threading.Event)
    _working: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def finish_soon(self) -> None:
        """Start nothing more and let what is in flight end; may be called from a signal handler."""
        self._stop.set()

    @property
    def is_working(self) -> bool:
        """Whether stages are under way that can end in good order."""
        return self._working.is_set()

    @property
    def is_finishing(self) -> bool:
        """Whether it was asked to end."""
        return self._stop.is_set()

    def run(self, recipe: Recipe) -> RunResult:
        """Run every stage that is not there yet.

        Raises:
            DriftError: before anything runs, where pinned code changed.
            UsageError: before anything runs: a stage that is not selected is needed and not there,
                or a stage asks for more than this machine has.
            InterruptedRun: it was asked to end; finished stages and shards stay.
            StageError: what was published stays, finished shards too; run again to go on.
        """
        started = time.monotonic()
        plan = self.planner.plan(recipe)
        refuse_drift(plan)
        self._refuse_gaps(plan)
        self._refuse_what_cannot_start(plan)
        journal = Journal(runs_folder(self.planner.store) / self.run_id)
        journal.write(Event(kind="run_started", data=self._run_data(recipe, plan)))
        status = "FAILED"
        try:
            self._working.set()
            results = Conductor(self, recipe, plan, journal).carry_out()
            status = "FINISHED"
        except (KeyboardInterrupt, InterruptedRun):
            status = "KILLED"
            raise
        finally:
            self._working.clear()
            journal.write(Event(kind="run_finished", data={"status": status}))
        seconds = time.monotonic() - started
        return RunResult(self.run_id, recipe, self.planner.store, results, seconds)

    def tell(self, hear: Callable[[Listener], None]) -> None:
        """Tell every listener something, one thread at a time."""
        with self._lock:
            for listener in self.listeners:
                hear(listener)

    def _refuse_gaps(self, plan: list[Planned]) -> None:
        gaps = [p for p in plan if not self.may_run(p.stage) and p.verdict != "REUSE"]
        if gaps:
            name = gaps[0].stage.name
            raise UsageError(
                f"the selected stages need '{name}', which is not selected and not there "
                f"({gaps[0].verdict}: {gaps[0].why}). Select it too: --select +STAGE takes what a "
                "stage needs along."
            )

    def _refuse_what_cannot_start(self, plan: list[Planned]) -> None:
        for stage in (p.stage for p in plan if p.verdict != "REUSE"):
            together = STAGE_KINDS[stage.kind].makes == "model"
            missing = self.executor.lacking(stage.resources, together=together)
            if missing is not None:
                who = (
                    f"its {stage.resources.workers} workers need" if together else "a worker needs"
                )
                raise UsageError(
                    f"stage '{stage.name}' cannot start: {who} {missing}. Lower the stage's "
                    "`resources:`, or run on a cluster that has them with --address."
                )

    def may_run(self, stage: Stage) -> bool:
        """Whether a stage is selected."""
        return self.only is None or stage.name in self.only

    def _run_data(self, recipe: Recipe, plan: list[Planned]) -> dict[str, Any]:
        return {
            "recipe": recipe.name,
            "run_id": self.run_id,
            "command": self.command,
            "commit": environment.commit(),
            "dirty_diff": environment.dirty_diff(),
            "plan": [{**one.as_json(), "needs": dict(one.stage.needs)} for one in plan],
            **environment.process(),
        }
