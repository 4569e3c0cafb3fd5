"""Apply edits to documents in order: what is kept, what was left with no text, what was done."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.edits.edited import CHANGE, Edit, texts_of
from filters.errors import FilterError

EDITS: Final = pa.list_(
    pa.struct(
        [
            ("edit", pa.string()),
            ("kind", pa.string()),
            ("count", pa.int64()),
            ("removed", pa.int64()),
            ("added", pa.int64()),
        ]
    )
)
"""The column `edits` of a document: everything that was done to it, in order; bytes are UTF-8."""

REPORT: Final = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("edit", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("bytes_before", pa.int64(), nullable=False),
        pa.field("bytes_after", pa.int64(), nullable=False),
        pa.field("removed", pa.int64(), nullable=False),
        pa.field("added", pa.int64(), nullable=False),
        CHANGE.field("lines"),
    ]
)
"""One row a document, edit and kind. Before and after is the text around the whole edit; the rows
of one edit add up to its difference."""

EMPTY_RULE: Final = "empty_after_edits"


class Cleaned(NamedTuple):
    """Documents after edits. Every row that entered is in `kept` or in `dropped`.

    The dropped have their text as it entered, the edits that emptied it, and rule, feature, value,
    limit and failed_rules.
    """

    kept: pa.Table
    dropped: pa.Table
    report: pa.Table


def clean(documents: pa.Table, edits: Mapping[str, Edit]) -> Cleaned:
    """Apply named edits in order to a table with the columns doc_id and text.

    A document is dropped if an edit changed it and nothing but white space is left.
    """
    before, after = texts_of(documents), documents
    steps = []
    for name, edit in edits.items():
        edited = edit.apply(after)
        steps.append(_report(name, after["text"], edited.texts, edited.changes))
        at = after.column_names.index("text")
        after = after.set_column(at, pa.field("text", pa.large_string(), False), edited.texts)
    changes = pa.concat_tables(steps) if steps else _NOTHING
    order = np.argsort(changes["row"].to_numpy(), kind="stable")
    changes = changes.take(pa.array(order))
    blank = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(after["text"])), 0)
    touched = pa.array(np.isin(np.arange(len(before)), changes["row"].to_numpy()))
    empty = pc.and_(blank, touched).combine_chunks()
    after = _with_edits(after, changes)
    keep = pc.invert(empty)
    at = after.column_names.index("text")
    dropped = after.set_column(at, after.schema.field(at), before).filter(empty)
    report = pa.table(
        [
            documents["doc_id"].cast(pa.string()).take(changes["row"]),
            keep.take(changes["row"]),
            *(changes[name] for name in REPORT.names[2:]),
        ],
        schema=REPORT,
    )
    return Cleaned(after.filter(keep), _with_verdict(dropped), report)


def redacted(report: pa.Table, edit: Edit) -> pa.Table:
    """Return a report whose removed lines went through an edit that takes out no line."""
    lists = report["lines"].combine_chunks()
    lines = lists.flatten()  # a null list has none
    texts = edit.apply(pa.table({"text": lines.field("text")})).texts
    kind = lists.type.value_type
    values = pa.StructArray.from_arrays([texts, lines.field("documents")], fields=list(kind))
    sizes = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    ends = pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32))
    changed = pa.ListArray.from_arrays(ends, values, mask=lists.is_null())
    return report.set_column(report.column_names.index("lines"), REPORT.field("lines"), changed)


_SIZES = ("bytes_before", "bytes_after")
_NOTHING = pa.schema([CHANGE.field("row"), *list(REPORT)[2:]]).empty_table()


def _report(name: str, before: pa.ChunkedArray, after: pa.Array, changes: pa.Table) -> pa.Table:
    sizes = (pc.binary_length(texts).cast(pa.int64()) for texts in (before, after))
    columns = dict(zip(_SIZES, (size.take(changes["row"]) for size in sizes), strict=True))
    columns["edit"] = pa.array([name] * changes.num_rows, pa.string())
    return pa.table(
        [
            columns.get(field, changes[field] if field in CHANGE.names else None)
            for field in _NOTHING.column_names
        ],
        schema=_NOTHING.schema,
    )


def _with_edits(documents: pa.Table, changes: pa.Table) -> pa.Table:
    """Return the documents with the column `edits`, longer than before where it was there."""
    rows = documents.num_rows
    ends = np.searchsorted(changes["row"].to_numpy(), np.arange(rows + 1)).astype(np.int32)
    fields = list(EDITS.value_type)
    columns = [changes[field.name].combine_chunks() for field in fields]
    now = pa.ListArray.from_arrays(
        pa.array(ends), pa.StructArray.from_arrays(columns, fields=fields)
    )
    if "edits" not in documents.column_names:
        return documents.append_column(pa.field("edits", EDITS), now)
    had = documents["edits"]
    if had.type != EDITS:
        raise FilterError(
            f"the documents have a column `edits` of type {had.type}, where what was done to them "
            "is written down; rename it first"
        )
    both = [(old or []) + new for old, new in zip(had.to_pylist(), now.to_pylist(), strict=True)]
    at = documents.column_names.index("edits")
    return documents.set_column(at, pa.field("edits", EDITS), pa.array(both, EDITS))


def _with_verdict(dropped: pa.Table) -> pa.Table:
    rows = dropped.num_rows
    for name, value, kind in (
        ("rule", EMPTY_RULE, pa.string()),
        ("feature", "characters_left", pa.string()),
        ("value", 0.0, pa.float64()),
        ("limit", 1.0, pa.float64()),
        ("failed_rules", [EMPTY_RULE], pa.list_(pa.string())),
    ):
        dropped = dropped.append_column(pa.field(name, kind), pa.array([value] * rows, kind))
    return dropped
