"""Which complete checkpoints stay: the last ones, milestones by tokens, the best by validation."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class RetentionConfig(BaseModel):
    """What to keep of a run's checkpoints; a choice of disk space, never of numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    last: int = Field(default=2, ge=1, description="the newest; two, as one may prove damaged")
    every_tokens: int | None = Field(
        default=None, gt=0, description="also the first one past each multiple of so many tokens"
    )
    best: int = Field(
        default=0, ge=0, description="also so many of those marked with the lowest value"
    )


class Checkpoint(NamedTuple):
    """A folder that claims to be complete."""

    folder: Path
    step: int
    world_size: int
    tokens: int
    """Positions of all global batches up to here."""


def kept(
    newest_first: Sequence[Checkpoint], marks: Mapping[int, float], retention: RetentionConfig
) -> list[Checkpoint]:
    """Return those that stay; `marks` gives a value (lower is better) to some steps."""
    stay = {c.folder: c for c in newest_first[: retention.last]}
    if retention.every_tokens is not None:
        stay |= {c.folder: c for c in _milestones(newest_first, retention.every_tokens)}
    judged = [c for c in newest_first if math.isfinite(marks.get(c.step, math.nan))]
    judged.sort(key=lambda c: marks[c.step])  # stable: of equals the newer one
    stay |= {c.folder: c for c in judged[: retention.best]}
    return list(stay.values())


def _milestones(newest_first: Iterable[Checkpoint], every: int) -> Iterable[Checkpoint]:
    # The oldest of each interval stays, so what was a milestone once remains one.
    oldest = {c.tokens // every: c for c in newest_first}
    return [c for interval, c in oldest.items() if interval]
