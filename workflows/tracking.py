"""Keeps MLflow in step with a run: after each stage, then what earlier runs still owe it."""

import os
from pathlib import Path

from workflows.journal import Journal
from workflows.lineage import MlflowMirror, pending_runs, tracking_uri_for


class Tracking:
    """Mirrors journals as a run goes on; a tracking server that is down never stops a stage."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._mirror = MlflowMirror(store)
        self.problem: str | None = None

    def follow(self, journal: Journal) -> None:
        """Mirror what is new in the journal of this run."""
        self.problem = self._mirror.sync(journal).problem

    def catch_up(self) -> None:
        """Mirror what earlier runs of the store could not: killed, or tracking was down."""
        for journal in pending_runs(self._store):
            self.problem = self._mirror.sync(journal).problem or self.problem

    def describe(self) -> str:
        """Return where to look, as a command where that is a local file."""
        uri = tracking_uri_for(self._store)
        if os.environ.get("MLFLOW_TRACKING_URI"):
            return "the server that MLFLOW_TRACKING_URI names"
        return f"mlflow ui --backend-store-uri {uri}"
