"""Last step on the text: a unit's documents, split by the decisions about them."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedup import spill
from pipelines.dedup.layout import Integers, Job, rows_at, units_at
from pipelines.documents import Desk
from pipelines.ledger import Change
from pipelines.shards import ShardRecord, read_table

Spills = tuple[str, ...]


def split(job: Job, shard: str, number: int, decisions: Spills) -> ShardRecord:
    """Write both sides of a unit, and how many each source lost."""
    unit = job.layout.units[number]
    documents = read_table(unit.path)
    found = spill.read("decisions", decisions, number % job.layout.partitions)
    found = found.filter(pa.array(units_at(spill.column(found, "address")) == number))
    found = found.sort_by("address")
    rows = rows_at(spill.column(found, "address"))
    dropped = documents.take(pa.array(rows))
    for name in found.column_names[1:]:
        dropped = dropped.append_column(found.schema.field(name), found[name])
    kept = documents.filter(pa.array(staying(documents.num_rows, rows)))
    return publish(job, shard, number, (documents, kept, dropped))


def staying(total: int, rows: Integers) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which of a unit's rows are not among these."""
    stays = np.ones(total, dtype=np.bool_)
    stays[rows] = False
    return stays


def publish(
    job: Job,
    shard: str,
    number: int,
    tables: tuple[pa.Table, pa.Table, pa.Table],
    *,
    aside: pa.Table | None = None,
    edited: Mapping[str, Change] | None = None,
) -> ShardRecord:
    """Write (entered, kept, dropped) and the losses by source; the record is not yet saved."""
    entered, kept, dropped = tables
    desk = Desk(job.root, job.attempt, job.stage)
    unit = job.layout.units[number]
    record = desk.record(unit.shard, entered, kept, dropped, aside=aside, edited=edited)
    counts = losses(entered["source"], dropped["source"])
    entry = spill.write(job, shard, "sources", counts)
    return record.model_copy(update={"shard": shard, "files": (*record.files, entry)})


def losses(entered: pa.ChunkedArray, dropped: pa.ChunkedArray) -> dict[str, pa.Array]:
    """Return each source, its documents and how many of them were dropped."""
    everything = pc.value_counts(pc.fill_null(entered, ""))
    gone = pc.value_counts(pc.fill_null(dropped, ""))
    sources = everything.field("values")
    at = pc.index_in(sources, gone.field("values"))
    return {
        "source": sources,
        "rows": everything.field("counts"),
        "dropped": pc.fill_null(gone.field("counts").take(at), 0),
    }
