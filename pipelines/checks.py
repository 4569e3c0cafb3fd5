"""Expectations of a stage's result, looked at before it is published; each says what it found."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.errors import LedgerError
from pipelines.shards import read_table
from pipelines.storage import StorePath
from pipelines.workspace import StageOutput

_IDS_AT_ONCE = 1 << 24
"""Ids whose hashes are held at a time (8 bytes each); more are counted in several passes."""
_SCHEMAS_READ = 64

Share = Annotated[float, Field(ge=0, le=1)]


class Expectations(BaseModel):
    """What a recipe may expect of a stage beside what its kind always promises."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    keep_share: tuple[Share, Share] = (0.0, 1.0)
    """Least and most of the rows that may be kept."""
    min_rows: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> "Expectations":
        low, high = self.keep_share
        if low > high:
            raise ValueError(f"keep_share: found [{low}, {high}]; write [least, most]")
        return self


class CheckResult(BaseModel):
    """What one check found."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    ok: bool
    found: str
    allowed: str


@dataclass(frozen=True)
class Result:
    """What a check looks at."""

    root: StorePath
    output: StageOutput
    expected: Expectations


Check = Callable[[Result], CheckResult]


def ledger_balances(result: Result) -> CheckResult:
    """Rows and bytes in (and added) = kept + dropped."""
    ledger = result.output.ledger
    try:
        ledger.balance("it")
    except LedgerError as error:
        return CheckResult(name="ledger", ok=False, found=str(error), allowed="in = kept + dropped")
    added = f" + {ledger.added.rows} added" if ledger.added.rows else ""
    found = f"{ledger.entered.rows}{added} = {ledger.kept.rows} + {ledger.dropped_total.rows}"
    return CheckResult(name="ledger", ok=True, found=found, allowed="in = kept + dropped")


def enough_rows(result: Result) -> CheckResult:
    """The stage kept at least `min_rows`."""
    rows, least = result.output.ledger.kept.rows, result.expected.min_rows
    return CheckResult(
        name="min_rows", ok=rows >= least, found=f"{rows} kept", allowed=f"at least {least}"
    )


def keep_share(result: Result) -> CheckResult:
    """The share of rows kept, copies not counted, lies within the recipe's bounds."""
    ledger = result.output.ledger
    low, high = result.expected.keep_share
    kept = ledger.kept.rows - ledger.added.rows
    share = kept / ledger.entered.rows if ledger.entered.rows else 0.0
    ok = low <= share <= high
    allowed = f"{low:.4g} to {high:.4g}"
    return CheckResult(name="keep_share", ok=ok, found=f"{share:.4f} kept", allowed=allowed)


def files_hold_what_the_ledger_says(result: Result) -> CheckResult:
    """The rows of the data files add up to what the ledger calls kept."""
    rows = sum(entry.rows for entry in result.output.files if entry.role == "data")
    kept = result.output.ledger.kept.rows
    return CheckResult(
        name="rows_in_files", ok=rows == kept, found=f"{rows} in the data files", allowed=str(kept)
    )


def unique_ids(result: Result) -> CheckResult:
    """No document id stands twice; memory is bounded by going over the ids in several passes."""
    return _unique(result, ("doc_id",), "ids")


def unique_copies(result: Result) -> CheckResult:
    """No copy of a document stands twice: doc_id and `copy` together are unique."""
    return _unique(result, ("doc_id", "copy"), "copies")


def _unique(result: Result, columns: tuple[str, ...], what: str) -> CheckResult:
    paths = _data_files(result)
    rows = sum(entry.rows for entry in result.output.files if entry.role == "data")
    passes = max(1, -(-rows // _IDS_AT_ONCE))
    doubled = 0
    for part in range(passes):
        found = (_hashed_ids(path, columns) for path in paths)
        hashes = [hashed[hashed % passes == part] for hashed in found]
        together = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
        doubled += len(together) - len(np.unique(together))
    said = f"{doubled} {what} twice" if doubled else f"{rows} different {what}"
    return CheckResult(name=f"unique_{what}", ok=not doubled, found=said, allowed="none twice")


def one_schema(result: Result) -> CheckResult:
    """Data files agree on their columns; of very many, an even sample is read."""
    paths = _data_files(result)
    step = max(1, len(paths) // _SCHEMAS_READ)
    odd = []
    first: pa.Schema | None = None
    for path in paths[::step]:
        with path.open("rb") as handle:
            schema = pq.read_schema(handle).remove_metadata()
        first = first or schema
        if not schema.equals(first):
            odd.append(path.name)
    found = f"{len(odd)} files differ, first {odd[0]}" if odd else "all the same"
    return CheckResult(name="schema", ok=not odd, found=found, allowed="one schema")


def no_empty_shard(result: Result) -> CheckResult:
    """No data file without rows: a training worker would find nothing in it."""
    empty = [e.path for e in result.output.files if e.role == "data" and not e.rows]
    found = f"{len(empty)} empty, first {empty[0]}" if empty else "none empty"
    return CheckResult(name="no_empty_shard", ok=not empty, found=found, allowed="none")


CHECKS: Mapping[str, tuple[Check, ...]] = {
    "listing": (ledger_balances, enough_rows),
    "documents": (
        ledger_balances,
        enough_rows,
        keep_share,
        files_hold_what_the_ledger_says,
        one_schema,
    ),
    "tokenizer": (ledger_balances, enough_rows),
    "tokens": (ledger_balances, enough_rows, no_empty_shard),
    "pairs": (ledger_balances, enough_rows, no_empty_shard),
    "model": (ledger_balances, enough_rows),
    "report": (ledger_balances,),
}
"""What is expected by what a stage makes; kinds add their own (`StageKind.checks`)."""


def examine(result: Result, checks: tuple[Check, ...]) -> Iterator[CheckResult]:
    """Yield what each check found, the failed ones too."""
    for check in checks:
        yield check(result)


def _data_files(result: Result) -> list[StorePath]:
    return [result.root / entry.path for entry in result.output.files if entry.role == "data"]


def _hashed_ids(
    path: StorePath, columns: tuple[str, ...]
) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    import xxhash

    table = read_table(path, columns=list(columns))
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    names = (str(row[0]) if len(row) == 1 else "\0".join(map(str, row)) for row in rows)
    hashes = (xxhash.xxh3_64_intdigest(name.encode()) for name in names)
    return np.fromiter(hashes, np.uint64, table.num_rows)
