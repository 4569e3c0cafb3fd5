"""What a dedup should not do unseen: make one huge cluster, or wipe a source out."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from pipelines.checks import CheckResult, Result
from pipelines.dedup import spill
from pipelines.dedup.layout import Job
from pipelines.shards import ShardFiles, ShardRecord, read_table

Spills = tuple[str, ...]
_SHOWN = 10


class Summary(BaseModel):
    """The largest clusters and losses, and which of them are alarming."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    largest_clusters: tuple[Mapping[str, Any], ...]
    """kept, size, examples (ids of some that go), largest first."""
    source_losses: tuple[Mapping[str, Any], ...]
    """source, rows, dropped of the sources that lost the largest shares."""
    alarms: tuple[str, ...]


def summarise(  # noqa: PLR0917  called by position, as every step
    job: Job, shard: str, number: int, clusters: Spills, sources: Spills, lasting: ShardRecord
) -> ShardRecord:
    """Write the summary; its record takes over all that stays, as the other steps' spills go."""
    largest: list[dict[str, Any]] = []
    for path in clusters:
        largest += read_table(path).to_pylist()
        largest = sorted(largest, key=lambda row: (-row["size"], row["kept"]))[:_SHOWN]
    losses = spill.SCHEMAS["sources"].empty_table()
    for path in sources:
        both = pa.concat_tables([losses, spill.read("sources", (path,))])
        summed = both.group_by("source").aggregate([("rows", "sum"), ("dropped", "sum")])
        losses = summed.rename_columns(["source", "rows", "dropped"])
    summary = _judged(job, largest, losses)
    files = ShardFiles(job.root, shard, job.attempt)
    content = json.dumps(summary.model_dump(), indent=1).encode()
    files.write_bytes(content, "aside", name=f"summary.{job.attempt}.json")
    metrics = {
        "largest_cluster": float(largest[0]["size"]) if largest else 0.0,
        "alarms": float(len(summary.alarms)),
    }
    return lasting.model_copy(
        update={
            "files": (*files.entries, *lasting.files),
            "metrics": {**lasting.metrics, **metrics},
        }
    )


def load(job: Job, record: ShardRecord) -> Summary:
    """Return the summary that a record names."""
    path = next(e.path for e in record.files if e.path.startswith("aside/summary."))
    return Summary.model_validate_json((job.root / path).read_bytes())


def no_alarm(result: Result) -> CheckResult:
    """No cluster is too large, no source is wiped out: else a person should look first."""
    alarms = result.output.info.get("alarms", ())
    found = "; ".join(alarms) if alarms else "none"
    return CheckResult(
        name="dedup_alarms", ok=not alarms, found=found, allowed="none beyond the config's limits"
    )


def _judged(job: Job, largest: list[dict[str, Any]], losses: pa.Table) -> Summary:
    config = job.config
    alarms = [
        f"a cluster of {row['size']} documents (limit {config.max_cluster}), kept {row['kept']}, "
        f"among those dropped {', '.join(row['examples'])}"
        for row in largest
        if row["size"] > config.max_cluster
    ]
    share = pc.divide(pc.cast(losses["dropped"], pa.float64()), losses["rows"])
    big = losses.append_column("share", share).filter(pc.field("rows") >= config.min_source)
    worst = big.sort_by([("share", "descending"), ("source", "ascending")])[:_SHOWN].to_pylist()
    alarms += [
        f"source {row['source']!r} lost {row['dropped']} of {row['rows']} documents "
        f"(limit {config.max_source_loss:.0%})"
        for row in worst
        if row["share"] > config.max_source_loss
    ]
    return Summary(
        largest_clusters=tuple(largest),
        source_losses=tuple(row for row in worst if row["dropped"]),
        alarms=tuple(alarms),
    )
