"""What a stage will take, judged by what it took before."""

from collections.abc import Mapping, Sequence
from statistics import median

from pydantic import BaseModel, ConfigDict

from workflows.artifact import Artifact


class Estimate(BaseModel):
    """The median of earlier runs, scaled by the rows that wait where both are known."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seconds: float
    bytes: int
    gpu_hours: float
    runs: int
    """How many earlier runs it rests on."""


def estimate(earlier: Sequence[Artifact], inputs: Mapping[str, Artifact | None]) -> Estimate | None:
    """Return what the next run of a stage will take; None where it was never built.

    A stage that was resumed counts with the seconds of its last attempt, so an estimate errs on the
    short side after interruptions.
    """
    if not earlier:
        return None
    scales = [_scale(artifact, inputs) for artifact in earlier]
    seconds = [a.manifest.seconds * scale for a, scale in zip(earlier, scales, strict=True)]
    sizes = [
        sum(entry.bytes for entry in a.manifest.files) * scale
        for a, scale in zip(earlier, scales, strict=True)
    ]
    gpus = [
        float(a.manifest.resources.get("gpus_per_worker", 0))
        * float(a.manifest.resources.get("workers", 0))
        for a in earlier
    ]
    hours = [s * g / 3600 for s, g in zip(seconds, gpus, strict=True)]
    return Estimate(
        seconds=round(median(seconds), 1),
        bytes=round(median(sizes)),
        gpu_hours=round(median(hours), 3),
        runs=len(earlier),
    )


def _scale(artifact: Artifact, inputs: Mapping[str, Artifact | None]) -> float:
    """Return rows now / rows then, where the stage reads documents whose number is known."""
    known = [found for found in inputs.values() if found and found.manifest.makes == "documents"]
    then = artifact.manifest.ledger
    if not known or then.unit != "documents" or not then.entered.rows:
        return 1.0
    return sum(found.manifest.ledger.kept.rows for found in known) / then.entered.rows
