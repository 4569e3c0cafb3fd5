"""Keep one of each document, paragraph or line; every step is units with records.

Documents (a worker holds a unit or a partition, the driver records):

    sketch     unit       exact hash, band hashes, length          -> bucket files by hash
    pair       partition  who shares a hash: stars and pairs       -> pairs, by who compares
    shingle    unit       shingles of candidates                   -> the partition that compares
    verify     partition  true similarity, evidence, stars
    merge      16 files   stars of stars, until one file is left   -> by unit
    describe   unit       length, id, policy of members of clusters -> by cluster
    decide     partition  what stays of each cluster               -> by unit
    split      unit       kept and dropped documents

The result depends on texts, ids and config alone: not on the order of documents, on how they lie in
files, on partitions or workers.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pipelines import schemas
from pipelines.dedup import alarms, comparing, deciding, pieces, sketching, spill, splitting
from pipelines.dedup.config import DedupConfig
from pipelines.dedup.layout import Job, Layout, Sizes
from pipelines.dedup.steps import run_step
from pipelines.shards import ShardRecord, load_record
from pipelines.units import stage_output
from pipelines.workspace import StageOutput, Workspace

__all__ = ["DedupConfig", "run"]

_SUMMARY = "summarise-00000"


def run(workspace: Workspace, config: DedupConfig) -> StageOutput:
    """Deduplicate the slot `documents`; dropped documents name what they are a copy of.

    With `against`, copies of what earlier artifacts kept are dropped as well.
    """
    return deduplicated(workspace, config, Sizes())


def deduplicated(workspace: Workspace, config: DedupConfig, sizes: Sizes) -> StageOutput:
    """Deduplicate with partitions of these sizes, which bound memory and change nothing else."""
    layout = Layout.of(workspace, config, sizes)
    job = Job(workspace.root, workspace.attempt, workspace.stage, config, layout)
    record = load_record(workspace.root, _SUMMARY)
    if record is None:
        steps = _Steps(workspace, job, sizes)
        record = steps.on_documents() if config.level == "document" else steps.on_pieces()
    return _output(job, record)


def _output(job: Job, record: ShardRecord) -> StageOutput:
    summary = alarms.load(job, record)
    info: dict[str, object] = {
        "alarms": list(summary.alarms),
        "largest_clusters": list(summary.largest_clusters),
        "source_losses": list(summary.source_losses),
    }
    if job.config.level == "document":
        family = job.config.minhash() if job.config.method == "minhash" else None
        info["minhash"] = dict(family.identity()) if family else None
        if family:
            info["found_at_threshold"] = family.match_probability(job.config.threshold)
    return stage_output([record], schema=schemas.DOCUMENT.to_string(), info=info)


@dataclass
class _Steps:
    """The steps in order; remembers what they wrote."""

    workspace: Workspace
    job: Job
    sizes: Sizes
    done: list[ShardRecord] = field(default_factory=list)

    def on_documents(self) -> ShardRecord:
        """Run the steps of the table above; return the record of the summary."""
        layout = self.job.layout
        everything, partitions = range(len(layout.units)), range(layout.partitions)
        sketched = self._run(sketching.sketch, everything, heavy=True)
        paired = self._run(comparing.pair, partitions, self._of(sketched, "sketches"))
        verified: list[ShardRecord] = []
        if self.job.config.method == "minhash":
            shingled = self._run(comparing.shingle, everything, self._of(paired, "wanted"))
            pairs, sets = self._of(paired, "pairs"), self._of(shingled, "shingles")
            verified = self._run(comparing.verify, partitions, pairs, sets)
        stars = self._merged(self._of([*paired, *verified], "stars"))
        similar = self._of(verified, "similar")
        members = self._run(deciding.describe_members, everything, stars, similar)
        decided = self._run(deciding.decide, partitions, self._of(members, "members"))
        decisions = self._of(decided, "decisions")
        halves = self._run(splitting.split, range(layout.own), decisions, heavy=True)
        return self._summary(halves, clusters=decided)

    def on_pieces(self) -> ShardRecord:
        """Take repeated paragraphs or lines out; return the record of the summary."""
        layout = self.job.layout
        hashed = self._run(pieces.hash_pieces, range(len(layout.units)), heavy=True)
        partitions = range(layout.partitions)
        found = self._run(pieces.find_repeats, partitions, self._of(hashed, "pieces"))
        removals = self._of(found, "removals")
        edited = self._run(pieces.edit, range(layout.own), removals, heavy=True)
        return self._summary(edited, clusters=())

    def _run(
        self,
        step: Callable[..., ShardRecord],
        numbers: Iterable[int],
        *inputs: object,
        heavy: bool = False,
        name: str = "",
    ) -> list[ShardRecord]:
        records = run_step(self.workspace, self.job, step, numbers, *inputs, name=name, heavy=heavy)
        self.done += records
        return records

    def _of(self, records: Sequence[ShardRecord], kind: str) -> tuple[str, ...]:
        return spill.paths(self.job, records, kind)

    def _merged(self, stars: tuple[str, ...]) -> tuple[str, ...]:
        """Merge files of cluster edges until one is left."""
        step = self.sizes.fan_in
        for level in itertools.count():
            groups = tuple(stars[at : at + step] for at in range(0, len(stars), step))
            numbers = range(len(groups))
            merged = self._run(comparing.merge, numbers, groups, name=f"merge{level}")
            stars = self._of(merged, "stars")
            if len(stars) == 1:
                break
        return stars

    def _summary(self, last: Sequence[ShardRecord], clusters: Sequence[ShardRecord]) -> ShardRecord:
        """Write the one record that outlives the spills, then delete them."""
        whole = stage_output(self.done, schema="")
        lasting = ShardRecord(
            shard=_SUMMARY,
            files=spill.lasting(self.done),
            ledger=whole.ledger,
            metrics=whole.metrics,
        )
        largest = tuple(str(self.job.root / e.path) for e in spill.lasting(clusters))
        sources = self._of(last, "sources")
        [record] = self._run(alarms.summarise, [0], largest, sources, lasting)
        spill.drop(self.job, self.done)
        return record
