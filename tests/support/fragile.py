"""Documents that end a process, or keep it busy for ever, and code that lets them."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import schemas

POISON, ENDLESS = "crash", "for ever"
DIED = "CrashError: the process that worked on it died of SIGSEGV"


def on_ray(test: Callable[[Path], None]) -> Callable[[Path], None]:
    test = pytest.mark.filterwarnings("default")(test)  # Ray's own, in the driver
    return pytest.mark.ray(pytest.mark.slow(pytest.mark.usefixtures("ray_session")(test)))


def documents(*texts: str) -> pa.Table:
    table = pa.table({"doc_id": [f"d{at}" for at in range(len(texts))], "text": texts})
    return table.cast(pa.schema([schemas.DOCUMENT.field(name) for name in ("doc_id", "text")]))


class Fragile:
    """Counts documents; a text of `POISON` ends its process as a fault in a C library does."""

    def __call__(self, table: pa.Table) -> int:
        if POISON in table["text"].to_pylist():
            ctypes.string_at(0)  # a fault of this thread: nothing after it runs
        return int(table.num_rows)


def keep_busy(text: str) -> int:
    """Do with a text what a pattern with too many choices does."""
    return sum(len(text) for _ in iter(int, 1))


def units(tmp_path: Path, *tables: pa.Table) -> list[dict[str, Any]]:
    found = []
    for number, table in enumerate(tables):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table, path)
        found.append({"shard": f"{number:05d}", "path": str(path), "bytes": table.nbytes})
    return found
