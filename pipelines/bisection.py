"""Find the documents that a pass cannot take, by halves: each costs itself alone, not its unit.

The passes here are linear in time and bounded in memory by construction, so a document is set aside
for an error; for its time only where that is out of all proportion (`pipelines.cpu_limit`).
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
_PLAIN = {"doc_id": "plain", "text": "A plain sentence, which no pass has a reason to fail on."}


def apart(
    documents: pa.Table, judge: Callable[[pa.Table], Result]
) -> tuple[list[Result], pa.Table]:
    """Return what `judge` makes of the documents, in order, and those it fails on.

    The latter have the columns of a dropped document (the stage aside) and `error`; none, where
    one call for all went well. Where `judge` fails on all of them, the results are what it makes
    of no document.

    Raises:
        Exception: what `judge` raised first, where it fails on more than MOST_QUARANTINED, or on
            all and on a plain sentence too: then it is at fault, not they.
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
            results.append(_of_nothing(documents.schema, judge, first))
    finally:
        first = None  # its traceback leads back to this frame, another cycle
    return results, pa.concat_tables(failed) if failed else _verdict(documents.slice(0, 0), None)


def _of_nothing(schema: pa.Schema, judge: Callable[[pa.Table], Result], first: Exception) -> Result:
    plain = plain_documents(schema)
    try:
        judge(plain)
    except Exception:  # noqa: BLE001  whatever it is: what it said of a real document is told
        raise first from None
    return judge(plain.slice(0, 0))


def plain_documents(schema: pa.Schema) -> pa.Table:
    """Return a document that says nothing in particular, null in all but its id and text."""
    columns = [pa.array([_PLAIN.get(field.name)], field.type) for field in schema]
    return pa.table(columns, schema=schema)


def _verdict(documents: pa.Table, error: Exception | None) -> pa.Table:
    rows = documents.num_rows
    text = f"{type(error).__name__}: {error}"[:_SHOWN]
    for field, value in zip(schemas.VERDICT, (QUARANTINED, "error", None, None), strict=False):
        documents = documents.append_column(field, pa.array([value] * rows, field.type))
    return documents.append_column("error", pa.array([text] * rows, pa.string()))
