"""Count in how many documents of its host each line stands, in memory bounded by configuration.

Each unit writes the keys of its lines with their counts, sorted. Then the range of keys is cut into
parts that fit in memory, and each part is summed over all units; only lines that are repeated often
enough are written. Which part a line falls in follows from its key alone, so the result does not
depend on the order or the number of workers.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from pipelines import storage
from pipelines.ledger import Ledger
from pipelines.shards import FileEntry, ShardFiles, ShardRecord, read_table, save_record
from pipelines.units import Unit, run_units
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from filters.edits import Edit, RepeatedLines
    from filters.edits.edited import Integers
    from filters.edits.repeated_lines import Keys

_KEYS_AT_ONCE = 1 << 24
"""Keys of all units that a worker sums at a time (16 bytes each)."""


class Part(BaseModel):
    """The keys from `low` up to `high`: what one worker sums over all units."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard: str
    low: int
    high: int


class CountWorker:
    """Writes the key of each line of a unit, and in how many of its documents it stands."""

    def __init__(
        self, root: str, attempt: str, earlier: Mapping[str, "Edit"], lines: "RepeatedLines"
    ) -> None:
        self._root, self._attempt = storage.at(root), attempt
        self._earlier, self._lines = earlier, lines

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Count the lines as they are after the earlier edits."""
        documents = read_table(unit["path"], ["doc_id", "text", "url"])
        for edit in self._earlier.values():
            at = documents.column_names.index("text")
            documents = documents.set_column(at, "text", edit.apply(documents).texts)
        keys, counts = np.unique(self._lines.keys(documents), return_counts=True)
        table = pa.table({"key": keys, "documents": counts.astype(np.int64)})
        return _written(self._root, unit["shard"], self._attempt, table, features=True)


class SumWorker:
    """Sums one part of the keys over all units and writes those that are repeated."""

    def __init__(self, root: str, attempt: str, counted: Sequence[str], least: int) -> None:
        self._root, self._attempt = storage.at(root), attempt
        self._counted, self._least = counted, least

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Read the part's keys of every unit, one unit after the other."""
        keys, counts = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
        for path in self._counted:
            table = read_table(path)
            found = table["key"].to_numpy()
            low = np.searchsorted(found, np.uint64(unit["low"]))
            high = np.searchsorted(found, np.uint64(unit["high"] - 1), side="right")
            together = np.concatenate((keys, found[low:high]))
            more = np.concatenate((counts, table["documents"].to_numpy()[low:high]))
            keys, which = np.unique(together, return_inverse=True)
            counts = np.bincount(which, weights=more, minlength=len(keys)).astype(np.int64)
        often = counts >= self._least
        table = pa.table({"key": keys[often], "documents": counts[often]})
        return _written(self._root, unit["shard"], self._attempt, table, features=False)


class RepeatedIn:
    """Says in how many documents lines stand, from what `count` has written."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(paths)

    def __call__(self, keys: "Keys") -> "Integers":
        """Return the documents of each key, 0 where it is not repeated; one file at a time."""
        counts = np.zeros(len(keys), dtype=np.int64)
        for path in self._paths if len(keys) else ():
            table = read_table(path)
            known = table["key"].to_numpy()
            at = np.searchsorted(known, keys)
            found = at < len(known)
            found[found] = known[at[found]] == keys[found]
            counts[found] = table["documents"].to_numpy()[at[found]]
        return counts


def count(
    workspace: Workspace,
    units: Sequence[Unit],
    earlier: Mapping[str, "Edit"],
    lines: "RepeatedLines",
) -> tuple[RepeatedIn, tuple[FileEntry, ...]]:
    """Count the lines of all units; return the answer to "how often", and the files it is in."""
    root, attempt = str(workspace.root), workspace.attempt
    counting = [unit.model_copy(update={"shard": f"lines-{unit.shard}"}) for unit in units]
    factory = partial(CountWorker, root, attempt, earlier, lines)
    counted = [e for record in run_units(workspace, counting, factory) for e in record.files]
    paths = tuple(str(workspace.root / entry.path) for entry in counted)
    parts = parts_of(sum(entry.rows for entry in counted))
    summing = partial(SumWorker, root, attempt, paths, lines.min_documents)
    summed = [e for record in run_units(workspace, parts, summing) for e in record.files]
    answer = RepeatedIn(str(workspace.root / entry.path) for entry in summed)
    return answer, (*counted, *summed)


def parts_of(keys: int, at_once: int = _KEYS_AT_ONCE) -> list[Part]:
    """Return parts of equal range, as many as keep each within `at_once` keys."""
    number = max(1, -(-keys // at_once))
    edges = [part * (1 << 64) // number for part in range(number + 1)]
    return [
        Part(shard=f"repeated-{part:05d}", low=edges[part], high=edges[part + 1])
        for part in range(number)
    ]


def _written(
    root: storage.StorePath, shard: str, attempt: str, table: pa.Table, *, features: bool
) -> ShardRecord:
    files = ShardFiles(root, shard, attempt)
    files.write_parquet(table, "features" if features else "aside")
    return save_record(root, ShardRecord(shard=shard, files=files.entries, ledger=Ledger()))
