"""Mix documents by weight: of some a share is kept, of others every document and copies of it.

Two passes over units: the first adds up the size of each group, the second keeps and copies. What
happens to a document hangs on its group's factor, the seed and its id, on nothing else.
"""

import json
import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from pydantic import BaseModel, ConfigDict, Field, field_validator

from filters.errors import unknown
from pipelines import schemas, storage
from pipelines.documents import Desk, count_of, desk_of
from pipelines.errors import InputError
from pipelines.ledger import Ledger
from pipelines.shards import ShardFiles, ShardRecord, read_table, save_record
from pipelines.units import Unit, run_units, stage_output, units_of
from pipelines.workspace import StageOutput, Workspace

Measure = Literal["documents", "bytes", "tokens"]
MEASURES: tuple[Measure, ...] = ("documents", "bytes", "tokens")
REST = "*"
REPORT = "mix.json"
_NONE = "none"


class MixConfig(BaseModel):
    """How much of each group there is to be in the mix."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    weights: Mapping[str, float] = Field(min_length=1)
    """Group -> weight; shares are weights over their sum. 0 leaves a group out; "*" is all the
    others together; documents without a value are the group "none"."""
    by: Literal["input", "source", "language"] = "input"
    """What makes a group: the slot a document came through, or one of its columns."""
    measure: Measure = "bytes"
    """What shares are counted in; tokens are the words and symbols of filters/text.py."""
    total: int | None = Field(default=None, ge=1)
    """The size of the mix in `measure`; without one the largest that needs no copies."""
    most_copies: float = Field(default=4.0, ge=1)
    """How often a document may occur (4: Muennighoff et al. 2023, arXiv 2305.16264)."""
    seed: int = Field(default=0, ge=0)

    @field_validator("weights")
    @classmethod
    def _possible(cls, weights: Mapping[str, float]) -> Mapping[str, float]:
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"the weight of {name!r} is {weight}; allowed: 0 or more, finite")
        if not sum(weights.values()):
            raise ValueError("the weights sum to 0, so nothing would be kept; give one above 0")
        return weights


class MixUnit(Unit):
    """A unit and the slot it came through."""

    slot: str


def groups_of(documents: pa.Table, slot: str, config: MixConfig) -> pa.Array:
    """Return the group of each document: a key of the weights, or its own name where none fits."""
    if config.by == "input":
        names = pa.array([slot] * documents.num_rows, pa.string())
    else:
        names = pc.fill_null(documents[config.by].combine_chunks(), _NONE)
    if REST not in config.weights:
        return names
    known = pa.array([name for name in config.weights if name != REST], pa.string())
    return pc.if_else(pc.is_in(names, known), names, REST)


def sizes_of(documents: pa.Table, groups: pa.Array) -> pa.Table:
    """Return (group, documents, bytes, tokens) of a table of documents, one row a group."""
    from filters.text import TextBatch, chunks

    counts = [TextBatch.of(chunk).token_counts() for chunk in chunks(documents["text"])]
    table = pa.table(
        {
            "group": groups,
            "documents": pa.array(np.ones(documents.num_rows, np.int64)),
            "bytes": pc.cast(pc.binary_length(documents["text"]), pa.int64()),
            "tokens": pa.array(np.concatenate([np.empty(0, np.int64), *counts])),
        }
    )
    return _summed(table)


def _summed(table: pa.Table) -> pa.Table:
    added = table.group_by("group").aggregate([(name, "sum") for name in MEASURES])
    return added.select(["group", *(f"{name}_sum" for name in MEASURES)]).rename_columns(
        ["group", *MEASURES]
    )


class SizesWorker:
    """Adds up the groups of one unit."""

    def __init__(self, root: str, attempt: str, config: MixConfig) -> None:
        self._root, self._attempt, self._config = storage.at(root), attempt, config

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Read the unit, write its sizes, return the record."""
        documents = read_table(unit["path"])
        files = ShardFiles(self._root, unit["shard"], self._attempt)
        groups = groups_of(documents, unit["slot"], self._config)
        files.write_parquet(sizes_of(documents, groups), "aside")
        record = ShardRecord(shard=unit["shard"], files=files.entries, ledger=Ledger())
        return save_record(self._root, record)


class MixWorker:
    """Keeps, copies and drops the documents of one unit by the factors of their groups."""

    def __init__(
        self, desk: Desk, factors: Mapping[str, float], config: MixConfig, schema: pa.Schema
    ) -> None:
        self._desk, self._factors, self._config = desk, factors, config
        self._schema = schema

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Read the unit, write both sides, return the record."""
        documents = _with_columns(read_table(unit["path"]), self._schema)
        groups = groups_of(documents, unit["slot"], self._config)
        kept, dropped = sample(documents, groups, self._factors, self._config.seed)
        added = count_of(kept.filter(pc.greater(kept["copy"], 0)))
        sizes = sizes_of(kept, groups_of(kept, unit["slot"], self._config))
        record = self._desk.record(unit["shard"], documents, kept, dropped, aside=sizes)
        ledger = record.ledger.model_copy(update={"added": added})
        return save_record(self._desk.root, record.model_copy(update={"ledger": ledger}))


def sample(
    documents: pa.Table, groups: pa.Array, factors: Mapping[str, float], seed: int
) -> tuple[pa.Table, pa.Table]:
    """Return the kept documents with the column `copy` (0 is the document), and the dropped.

    A document of factor f occurs floor(f) times, and once more where its draw, a hash of seed and
    doc_id in [0, 1), is below the rest. Copies keep their doc_id, so that every trace finds them
    all; all first ones come before all second ones, so that no two stand beside each other.
    """
    f = np.array([factors[group] for group in groups.to_pylist()], dtype=np.float64)
    draws = np.array([draw(doc_id, seed) for doc_id in documents["doc_id"].to_pylist()], np.float64)
    copies = np.floor(f).astype(np.int64) + (draws < f - np.floor(f))
    parts = []
    for copy in range(max(1, int(copies.max(initial=0)))):
        part = documents.filter(pa.array(copies > copy))
        parts.append(part.append_column("copy", pa.array([copy] * part.num_rows, pa.int32())))
    is_dropped = copies == 0
    dropped = documents.filter(pa.array(is_dropped))
    for name, values in (("rule", "downsampled"), ("feature", "draw")):
        dropped = dropped.append_column(name, pa.array([values] * dropped.num_rows, pa.string()))
    dropped = dropped.append_column("value", pa.array(draws[is_dropped]))
    dropped = dropped.append_column("limit", pa.array(f[is_dropped]))
    return pa.concat_tables(parts), dropped


def draw(doc_id: str, seed: int) -> float:
    """Return a document's place in [0, 1), the same in every run and on every machine."""
    return (xxhash.xxh3_64_intdigest(doc_id.encode(), seed=seed) >> 11) / float(1 << 53)


def factors_of(sizes: Mapping[str, Mapping[str, int]], config: MixConfig) -> dict[str, float]:
    """Return how often a document of each group occurs in the mix.

    Args:
        sizes: group -> measure -> how much of it there is.
        config: The weights, and the total if there is one.

    Raises:
        InputError: a weight is of no group or of an empty one, a group has no weight, or a document
            would occur more than `most_copies` times.
    """
    weights = config.weights
    for name in sizes:
        if name not in weights:
            raise InputError(
                f"mix: the {config.by} {name!r} has {sizes[name]['documents']:,} documents and no "
                f"weight; give it one (0 leaves it out), or `{REST!r}: ...` for all the others. "
                f"{unknown('group', name, weights)}"
            )
    for name, weight in weights.items():
        if weight and not sizes.get(name, {}).get(config.measure):
            known = [one for one in sizes if sizes[one][config.measure]]
            hint = unknown(config.by, name, known) if known else "the inputs hold no document"
            raise InputError(
                f"mix.weights: {name!r} has weight {weight:g} and no documents; correct "
                f"the name, or give it the weight 0: {hint}"
            )
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    available = {name: sizes[name][config.measure] for name in shares if shares[name]}
    total = config.total or min(available[name] / shares[name] for name in available)
    factors = {name: 0.0 for name in weights} | {
        name: total * shares[name] / available[name] for name in available
    }
    worst = max(factors, key=lambda name: factors[name])
    if factors[worst] > config.most_copies * (1 + 1e-9):
        raise InputError(
            f"mix: a document of {worst!r} would occur {factors[worst]:.2f} times, allowed: "
            f"{config.most_copies:g}; there are {available[worst]:,} {config.measure} of it. Lower "
            "its weight or `total`, or raise `most_copies`."
        )
    return {name: min(factor, config.most_copies) for name, factor in factors.items()}


def run(workspace: Workspace, config: MixConfig) -> StageOutput:
    """Mix all slots; InputError as `factors_of`.

    The mix holds (doc_id, copy) once each. Sizes and a report lie beside it.
    """
    units = [
        MixUnit(slot=slot, **unit.model_dump())
        for slot, artifact in sorted(workspace.inputs.items())
        for unit in units_of(artifact, f"{slot}-")
    ]
    measured = [unit.model_copy(update={"shard": f"sizes-{unit.shard}"}) for unit in units]
    root, attempt = str(workspace.root), workspace.attempt
    sized = run_units(workspace, measured, partial(SizesWorker, root, attempt, config))
    there = _totals(workspace, sized)
    factors = factors_of(there, config)
    schema = _schema_of(units)
    worker = partial(MixWorker, desk_of(workspace), factors, config, schema)
    records = run_units(workspace, units, worker)
    told = report(there, _totals(workspace, records), factors, config)
    files = ShardFiles(workspace.root, "report", attempt)
    files.write_bytes(json.dumps(told, indent=1, sort_keys=True).encode(), "aside", name=REPORT)
    narrow = tuple(entry for record in sized for entry in record.files)
    schema = schema.append(pa.field("copy", pa.int32()))
    extra = (*narrow, *files.entries)
    return stage_output(records, schema=schema.to_string(), info=told, extra_files=extra)


def _schema_of(units: Iterable[MixUnit]) -> pa.Schema:
    """Return the columns of all inputs together; what one lacks is null there."""
    first = {unit.slot: unit.path for unit in reversed(list(units))}
    found = {}
    for slot, path in sorted(first.items()):
        with storage.local(storage.at(path)) as local:
            found[slot] = pq.read_schema(local).remove_metadata()
        if "copy" in found[slot].names:
            raise InputError(
                f"mix: the input {slot!r} has a column `copy`: it is a mix already. Mix what that "
                "one was made of, with all the weights in one stage."
            )
    try:
        return pa.unify_schemas([schemas.DOCUMENT, *found.values()])
    except pa.ArrowException as error:
        raise InputError(
            f"mix: the inputs {', '.join(found)} have a column of one name and two types: {error}. "
            "Rename it where it is made."
        ) from error


def _with_columns(documents: pa.Table, schema: pa.Schema) -> pa.Table:
    for column in schema:
        if column.name not in documents.column_names:
            nulls = pa.nulls(documents.num_rows, column.type)
            documents = documents.append_column(column, nulls)
    return documents.select(schema.names).cast(schema)


def _totals(workspace: Workspace, records: Iterable[ShardRecord]) -> dict[str, dict[str, int]]:
    entries = [entry for record in records for entry in record.files if entry.role == "aside"]
    if not entries:
        return {}
    table = _summed(pa.concat_tables(read_table(workspace.root / e.path) for e in entries))
    return {row.pop("group"): row for row in table.sort_by("group").to_pylist()}


def report(
    there: Mapping[str, Mapping[str, int]],
    mixed: Mapping[str, Mapping[str, int]],
    factors: Mapping[str, float],
    config: MixConfig,
) -> dict[str, Any]:
    """Return the requested and the achieved share of each group, as JSON values."""
    weight, size = sum(config.weights.values()), _size(mixed.values(), config.measure)
    nothing = dict.fromkeys(MEASURES, 0)
    return {
        "measure": config.measure,
        "requested": config.total,
        "achieved": size,
        "groups": {
            name: {
                "requested_share": config.weights[name] / weight,
                "achieved_share": mixed.get(name, nothing)[config.measure] / size if size else 0.0,
                "factor": factors[name],
                "there": dict(there.get(name, nothing)),
                "mixed": dict(mixed.get(name, nothing)),
            }
            for name in sorted(config.weights)
        },
    }


def _size(groups: Iterable[Mapping[str, int]], measure: Measure) -> int:
    return sum(group[measure] for group in groups)


def report_table(told: Mapping[str, Any]) -> str:
    """Return a report as a short table: requested against achieved shares."""
    lines = [f"{'GROUP':<24}{'requested':>10}{'achieved':>10}{'factor':>8}{'documents':>11}"]
    for name, row in told["groups"].items():
        lines.append(
            f"{name[:23]:<24}{row['requested_share']:>10.2%}{row['achieved_share']:>10.2%}"
            f"{row['factor']:>8.3f}{row['mixed']['documents']:>11,}"
        )
    return "\n".join(lines)
