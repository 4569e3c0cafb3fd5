"""Where everything lies while a stage deduplicates: units, addresses of documents, partitions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.dedup.config import DedupConfig
from pipelines.storage import StorePath
from pipelines.units import Unit, units_of
from pipelines.workspace import InputArtifact, Workspace

Integers = npt.NDArray[np.int64]
_UNIT_SHIFT = 32
_STIR = np.uint64(0x9E3779B97F4A7C15)
AGAINST = ("against", "against_2", "against_3")
"""Slots of earlier artifacts; what duplicates a document kept there is dropped here."""


class Sizes(NamedTuple):
    """How much one partition holds: what bounds the memory of a worker, never the result."""

    rows: int = 100_000
    """Documents; up to 15 rows of 41 bytes for each are sorted at once."""
    bytes: int = 32 << 20
    """Compressed text; the shingles of what looks alike in it are held at once."""
    fan_in: int = 16
    """Files of cluster edges that are merged at once."""
    most: int = 4096


@dataclass(frozen=True)
class Layout:
    """The units of a stage, its own first, then those of earlier artifacts.

    A document's address is its unit's number and its row there: unlike its id it fits in 8 bytes
    and says where its text is. It names a document inside one stage and decides nothing.
    """

    units: tuple[Unit, ...]
    own: int
    """How many of the units are this stage's; the others are earlier artifacts'."""
    features: tuple[str | None, ...]
    """A file a unit that may hold `exact` and `bands` of its documents."""
    partitions: int

    @classmethod
    def of(cls, workspace: Workspace, config: DedupConfig, sizes: Sizes) -> "Layout":
        """Lay the inputs of a stage out."""
        documents = workspace.input("documents")
        earlier = [workspace.inputs[slot] for slot in AGAINST if slot in workspace.inputs]
        units: list[Unit] = []
        features: list[str | None] = []
        for artifact in (documents, *earlier):
            known = _known_features(artifact, config)
            units += units_of(artifact)
            features += [known.get(entry.shard) for entry in artifact.entries("data")]
        rows, size = sum(u.rows for u in units), sum(u.bytes for u in units)
        wanted = max(1, -(-rows // sizes.rows), -(-size // sizes.bytes))
        own = len(documents.entries("data"))
        return cls(tuple(units), own, tuple(features), min(wanted, sizes.most))

    @property
    def bytes(self) -> int:
        """Compressed bytes of all units."""
        return sum(unit.bytes for unit in self.units)

    def is_own(self, addresses: Integers) -> npt.NDArray[np.bool_]:
        """Return which documents are this stage's."""
        return units_at(addresses) < self.own

    def part_of_unit(self, addresses: Integers) -> Integers:
        """Return the partition in which a document's unit looks for what concerns it."""
        return units_at(addresses) % self.partitions

    def part_of(self, addresses: Integers) -> Integers:
        """Return the partition that compares or decides about a document."""
        mixed = (addresses.astype(np.uint64) * _STIR) >> np.uint64(32)
        return (mixed % np.uint64(self.partitions)).astype(np.int64)


@dataclass(frozen=True)
class Job:
    """What every worker of the stage is told; it travels to them."""

    root: StorePath
    attempt: str
    stage: str
    config: DedupConfig
    layout: Layout


def addresses(unit: int, rows: int) -> Integers:
    """Return the addresses of the documents of a unit."""
    return (np.int64(unit) << _UNIT_SHIFT) | np.arange(rows, dtype=np.int64)


def units_at(addresses: Integers) -> Integers:
    """Return the number of each document's unit."""
    return addresses >> _UNIT_SHIFT


def rows_at(addresses: Integers) -> Integers:
    """Return each document's row in its unit."""
    return addresses & ((1 << _UNIT_SHIFT) - 1)


def _known_features(artifact: InputArtifact, config: DedupConfig) -> Mapping[str, str]:
    """Return shard -> features file where an artifact tells that it has hashes of our family."""
    family: object = artifact.info.get("minhash")
    wanted: object = None
    if config.method == "minhash":
        wanted = dict(config.minhash().identity())
    if config.level != "document" or "minhash" not in artifact.info or wanted not in (None, family):
        return {}
    entries: Sequence[tuple[str, StorePath]] = [
        (entry.shard, path)
        for entry, path in zip(
            artifact.entries("features"), artifact.paths("features"), strict=True
        )
    ]
    return {shard: str(path) for shard, path in entries}
