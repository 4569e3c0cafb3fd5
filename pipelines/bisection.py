"""Find the documents that a pass cannot take, by halves: each costs itself alone, not its unit.

The passes here are linear in time and bounded in memory by construction, so a document is set aside
for an error, never for its time: what a clock decides is not the same twice.
"""

from collections.abc import Callable
from typing import TypeVar

import pyarrow as pa

from pipelines import schemas

Result = TypeVar("Result")
QUARANTINED = "quarantined"
MOST_QUARANTINED = 100
"""Of one unit: where more fail, it is the pass that is broken, not a document."""
_SHOWN = 2_000


def apart(
    documents: pa.Table, judge: Callable[[pa.Table], Result]
) -> tuple[list[Result], pa.Table]:
    """Return what `judge` makes of the documents, in order, and those it fails on.

    The latter have the columns of a dropped document (the stage aside) and `error`; none, where
    one call for all went well.

    Raises:
        Exception: what `judge` raised first, where it fails on every document or on more than
            MOST_QUARANTINED.
    """
    results: list[Result] = []
    failed: list[pa.Table] = []
    first: Exception | None = None
    waiting = [documents]  # no function that calls itself: its closure is a cycle, which would
    try:  # keep a whole unit in memory until the garbage collector's oldest generation is full
        while waiting:
            part = waiting.pop()
            try:
                results.append(judge(part))
            except Exception as error:  # noqa: BLE001  whatever a document does, it is kept
                first = error if first is None else first
                if part.num_rows > 1:
                    half = part.num_rows // 2
                    waiting += [part.slice(half), part.slice(0, half)]
                    continue
                failed.append(_verdict(part, error))
            if first is not None and len(failed) > MOST_QUARANTINED:
                raise first
        if first is not None and not results:
            raise first
    finally:
        first = None  # its traceback leads back to this frame, another cycle
    return results, pa.concat_tables(failed) if failed else _verdict(documents.slice(0, 0), None)


def _verdict(documents: pa.Table, error: Exception | None) -> pa.Table:
    rows = documents.num_rows
    text = f"{type(error).__name__}: {error}"[:_SHOWN]
    for field, value in zip(schemas.VERDICT, (QUARANTINED, "error", None, None), strict=False):
        documents = documents.append_column(field, pa.array([value] * rows, field.type))
    return documents.append_column("error", pa.array([text] * rows, pa.string()))
