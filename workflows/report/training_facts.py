"""Read what a report shows of a training: every step of its record, its restarts and rollbacks."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from llada.training.interventions import INTERVENTIONS, Intervention, read_interventions
from llada.training.job import StepMetrics
from llada.training.record import ATTEMPTS, METRICS, Attempt, lost_seconds, read_lines
from pipelines.storage import read_all
from workflows.artifact import Artifact
from workflows.errors import UsageError


@dataclass(frozen=True)
class TrainingFacts:
    """All that the report of a model shows."""

    artifact: Artifact
    steps: list[StepMetrics]
    """One a step: those that led to the weights."""
    lost: list[StepMetrics]
    """Computed and thrown away, by kills and rollbacks."""
    restarts: list[Attempt]
    """All starts of the workers but the first."""
    interventions: list[Intervention]
    lost_seconds: float


def training_facts_of(artifact: Artifact) -> TrainingFacts:
    """Return the facts of a trained model.

    Raises:
        UsageError: it has no record of its steps.
    """
    found = {
        path.name: content
        for path, content in read_all(artifact.as_input().paths("aside")).items()
        if path.name in {METRICS, ATTEMPTS, INTERVENTIONS}
    }
    if METRICS not in found:
        raise UsageError(
            f"{artifact.folder.name} keeps no record of its steps, so there are no curves to show; "
            "models trained from now on do: remove the folder and run the recipe again"
        )
    with TemporaryDirectory(prefix="llada-report-") as folder:
        for name, content in found.items():
            (Path(folder) / name).write_bytes(content)
        return _facts(artifact, Path(folder))


def _facts(artifact: Artifact, folder: Path) -> TrainingFacts:
    lines = read_lines(folder / METRICS, StepMetrics)
    last = {line.step: place for place, line in enumerate(lines)}
    kept = sorted(last.values(), key=lambda place: lines[place].step)
    attempts = folder / ATTEMPTS
    starts = read_lines(attempts, Attempt) if attempts.exists() else []
    return TrainingFacts(
        artifact=artifact,
        steps=[lines[place] for place in kept],
        lost=[line for place, line in enumerate(lines) if last[line.step] != place],
        restarts=starts[1:],
        interventions=read_interventions(folder),
        lost_seconds=lost_seconds(folder / METRICS),
    )
