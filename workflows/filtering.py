"""A filtering job without a recipe: the recipe it is, what each rule did, what other limits would.

`llada filter` writes the recipe it stands for beside its results, so that a job which grows needs
no second start: `llada run`, `plan`, `lineage` and `ui` take it from there.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from filters.rules import failures, occurrences
from pipelines.filter import FAILURES, FilterConfig, rules_of
from pipelines.remote.addresses import is_remote
from pipelines.shards import read_table
from pipelines.storage import StorePath
from workflows.artifact import Artifact, all_artifacts
from workflows.code.closure import closure, difference
from workflows.errors import UsageError
from workflows.kinds import STAGE_KINDS
from workflows.plan import Planner
from workflows.recipe import load_recipe

RECIPE = "filter.yaml"
STAGE = "clean"


def recipe_text(
    inputs: Sequence[str],
    out: StorePath,
    config: Mapping[str, Any],
    *,
    dedup: str,
    workers: int,
    broken_files: str = "stop",
) -> str:
    """Return the recipe of a job as YAML; paths are absolute, so that it runs from anywhere.

    `out` is the root of a store, absolute or in a bucket.
    """
    resources = {"workers": workers}
    nothing_kept = {"min_rows": 0}  # an answer here, told with the rules that gave it
    stages: dict[str, Any] = {
        "documents": {
            "kind": "source",
            "config": {"paths": [_from_anywhere(path) for path in inputs]},
        },
        "text": {
            "kind": "extract", "needs": "documents", "config": {"broken_files": broken_files},
            "resources": resources,
        },
        STAGE: {
            "kind": "filter", "needs": "text", "config": dict(config), "resources": resources,
            "checks": nothing_kept,
        },
    }  # fmt: skip
    if dedup != "none":
        stages["unique"] = {
            "kind": "dedup", "needs": STAGE, "config": {"method": dedup}, "resources": resources,
            "checks": nothing_kept,
        }  # fmt: skip
    value = {"name": "filter", "store": str(out), "stages": stages}
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return f"# Written by `llada filter`; `llada run {RECIPE}` does the same.\n{text}"


def _from_anywhere(path: str) -> str:
    return path if is_remote(path) else str(Path(path).expanduser().absolute())


@dataclass(frozen=True)
class RuleShare:
    """What one rule did: how many documents it is the reason for, fails, and alone fails."""

    rule: str
    reason: int
    fails: int
    alone: int


def filtered_in(out: StorePath) -> Artifact:
    """Return what the job in a folder filtered: by its recipe, else what was published last.

    Raises:
        UsageError: there is nothing, or its statistics were computed by code that has changed.
    """
    recipe = out / RECIPE
    if recipe.is_file():
        planner = Planner(out, Path.cwd())
        planned = next(p for p in planner.plan(load_recipe(recipe)) if p.stage.name == STAGE)
        if planned.verdict == "REUSE" and planned.artifact is not None:
            return planned.artifact
        raise UsageError(f"{recipe} is not done ({planned.why}): run `llada filter` again first")
    filtered = [a for a in all_artifacts(out) if a.manifest.kind == "filter"]
    if not filtered:
        raise UsageError(
            f"{out} holds no filtered documents; run `llada filter INPUT --out {out}` first"
        )
    refuse_stale(filtered[-1])
    return filtered[-1]


def refuse_stale(artifact: Artifact) -> None:
    """Raise UsageError where the code that computed an artifact's statistics has changed."""
    now = closure(STAGE_KINDS["filter"].code_name)
    if now.digest != artifact.manifest.code_hash:
        changed = ", ".join(difference(artifact.manifest.code_parts, now.parts)[:3])
        raise UsageError(
            f"the statistics in {artifact.folder.name} were computed by code that has changed "
            f"({changed}): run the job again first"
        )


def shares(artifact: Artifact) -> list[RuleShare]:
    """Return what each rule did, most often the reason first, as the filter counted it.

    What was filtered before filters counted is counted here, from the verdicts of each shard.
    """
    if FAILURES not in artifact.manifest.info:
        older = _Counts()
        for path in artifact.as_input().paths("rejects"):
            older.add(read_table(path, ["rule", "failed_rules"]))
        return older.shares()
    told: Mapping[str, Mapping[str, int]] = artifact.manifest.info[FAILURES]
    dropped = artifact.manifest.ledger.dropped
    counts = _Counts()
    counts.reason.update({rule: count.rows for rule, count in dropped.items()})
    counts.fails.update({rule: found["fails"] for rule, found in told.items()})
    counts.alone.update({rule: found["alone"] for rule, found in told.items()})
    return counts.shares()


def counted(dropped: pa.Table) -> list[RuleShare]:
    """Return what each rule did to a table of dropped documents; see `shares`."""
    counts = _Counts()
    counts.add(dropped)
    return counts.shares()


def with_limits(artifact: Artifact, limits: Mapping[str, float]) -> FilterConfig:
    """Return the config of a filter artifact with other limits; FilterError for unknown rules."""
    config = FilterConfig.model_validate(artifact.manifest.config)
    changed = config.model_copy(update={"limits": {**config.limits, **limits}})
    changed.text_rules()
    return changed


def rejudged(artifact: Artifact, config: FilterConfig) -> tuple[int, list[RuleShare]]:
    """Return how many documents other limits keep, and what each rule would do.

    Reads the stored statistics, a few hundred bytes a document, and no text. Documents that the
    pass itself failed on have none and stay dropped.
    """
    rules, counts, kept = rules_of(config), _Counts(), 0
    for path in artifact.as_input().paths("features"):
        verdicts = rules.verdicts(read_table(path))
        fails = verdicts.filter(pc.is_valid(verdicts["rule"]))
        kept += verdicts.num_rows - fails.num_rows
        counts.add(fails)
    return kept, counts.shares()


class _Counts:
    """Adds up verdicts of failed documents, a shard at a time."""

    def __init__(self) -> None:
        self.reason: Counter[str] = Counter()
        self.fails: Counter[str] = Counter()
        self.alone: Counter[str] = Counter()

    def add(self, verdicts: pa.Table) -> None:
        """Count documents by `rule`, and by `failed_rules` where those were recorded."""
        self.reason.update(occurrences(verdicts["rule"]))
        fails, alone = failures(verdicts)
        self.fails.update(fails)
        self.alone.update(alone)

    def shares(self) -> list[RuleShare]:
        """Return the counts of every rule that any document failed."""
        names = sorted(self.reason | self.fails, key=lambda rule: (-self.reason[rule], rule))
        return [
            RuleShare(
                rule,
                self.reason[rule],
                self.fails[rule] or self.reason[rule],
                self.alone[rule],
            )
            for rule in names
        ]


def breakdown(entered: int, kept: int, found: Sequence[RuleShare]) -> str:
    """Return the table of rules: reason for, failed by, and failed by this rule alone."""
    lines = [f"{'RULE':<34}{'the reason':>12}{'fails':>9}{'only this':>11}{'marginal':>10}"]
    lines += [
        f"{one.rule:<34}{one.reason:>12,}{one.fails:>9,}{one.alone:>11,}"
        f"{one.alone / max(1, entered):>10.1%}"
        for one in found
    ]
    share = kept / max(1, entered)
    return "\n".join([*lines, f"kept {kept:,} of {entered:,} documents ({share:.1%})"])
