"""Keeps MLflow in step with a run, from outside it: starts the mirror, says how far it is."""

import os
import subprocess
import time

from pipelines import storage
from pipelines.storage import StorePath
from pipelines.workspace import Progress
from workflows.attempt import StageResult
from workflows.journal import Journal, runs_folder
from workflows.plan import Planned
from workflows.stage import Stage
from workflows.tracking.process import EXIT_CODES, start_mirror
from workflows.tracking.progress import LOG, is_closed, last_problem, local_runs, tracking_uri_for

_LONGEST_WAIT = 20.0
_POLL = 0.05


class Tracking:
    """Listens to a run and has it mirrored; tracking that is down never stops a stage.

    The mirror starts with the first stage that works. A run that only reuses starts it at its end
    and does not wait: importing MLflow alone takes longer than such a run.
    """

    def __init__(self, store: StorePath, run: str) -> None:
        self._store = store
        self._run = run
        self._log = local_runs(store) / LOG
        self._journal = runs_folder(store) / run
        self._works = False
        self.mirror: subprocess.Popen[bytes] | None = None
        self._trouble: str | None = None

    def stage_started(self, planned: Planned) -> None:
        """Have the run mirrored from now on, if this stage is work."""
        if planned.verdict != "REUSE":
            self._works = True
            self._start()

    def progressed(self, stage: Stage, progress: Progress) -> None:
        """Do nothing: the journal says it all."""

    def said(self, stage: Stage, message: str) -> None:
        """Do nothing: the journal says it all."""

    def stage_finished(self, result: StageResult) -> None:
        """Do nothing: the journal says it all."""

    def stage_ended(self, stage: Stage) -> None:
        """Do nothing: the journal says it all."""

    def ended(self) -> None:
        """Have the end of the run mirrored, however it ended; waits for nothing."""
        if storage.children(self._journal) and not is_closed(Journal(self._journal)):
            self._start()

    def settle(self, seconds: float) -> str:
        """Wait for the mirror no longer than the run took; return a sentence on how far it is."""
        deadline = time.monotonic() + (min(seconds, _LONGEST_WAIT) if self._works else 0)
        try:
            while self._may_close_soon() and time.monotonic() < deadline:
                time.sleep(_POLL)
        except KeyboardInterrupt:
            pass  # the run is done: who interrupts here does not want to wait
        if is_closed(Journal(self._journal)):
            return "MLflow has everything of this run."
        return (
            self._trouble
            or self._why_not()
            or (
                f"MLflow is being written in the background (log: {self._log}); "
                f"`llada sync --store {self._store}` waits for it."
            )
        )

    def _why_not(self) -> str | None:
        """Return why the mirror left something; None while one works."""
        code = self.mirror.poll() if self.mirror else None
        if code is None or code == EXIT_CODES["busy"]:
            return None
        return last_problem(self._store) or (
            f"MLflow does not have everything of this run; {self._log} says why. "
            f"Its records are kept: `llada sync --store {self._store}` sends them."
        )

    def describe(self) -> str:
        """Return where to look, as a command where that is a local file."""
        if os.environ.get("MLFLOW_TRACKING_URI"):
            return "the server that MLFLOW_TRACKING_URI names"
        return f"mlflow ui --backend-store-uri {tracking_uri_for(self._store)}"

    def _start(self) -> None:
        """Start a mirror unless ours still works; another run's that works is left the work."""
        if self.mirror is not None and self.mirror.poll() is None:
            return
        try:
            self.mirror, self._trouble = start_mirror(self._store, self._run), None
        except OSError as error:
            self._trouble = (
                f"MLflow is not written, as no process can be started for it: {error}. The records "
                f"are kept in {self._journal}; `llada sync --store {self._store}` sends them."
            )

    def _may_close_soon(self) -> bool:
        if self.mirror is None or is_closed(Journal(self._journal)):
            return False
        return self.mirror.poll() in {None, EXIT_CODES["busy"]}
