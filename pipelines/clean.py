"""Edit the documents that stay: Unicode, repeated lines, C4's lines, personal data; and say what.

Edits are applied in the order they are named. A kept document lists them in its column `edits`;
the files of role `aside` list them for all documents, with the text of removed lines (redacted,
where `pii` is among the edits); the ledger counts documents and bytes by edit. Documents that were
left with no text are dropped as they entered, so the rejects are as personal as the input.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, model_validator

from filters.edits import (
    C4Lines,
    Edit,
    PersonalData,
    RepeatedLineRemoval,
    RepeatedLines,
    UnicodeRepair,
    clean,
)
from filters.edits.documents import redacted
from pipelines import repeated_lines, schemas
from pipelines.documents import DocumentsWorker, Judged, desk_of
from pipelines.ledger import Change
from pipelines.shards import FileEntry
from pipelines.units import run_units, stage_output, units_of
from pipelines.workspace import StageOutput, Workspace

EditName = Literal["unicode", "repeated_lines", "c4_lines", "pii"]

_REPEATED: Final = "repeated_lines"


class CleanConfig(BaseModel):
    """Which edits, in which order, and how each is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    edits: tuple[EditName, ...] = ("unicode", "pii")
    unicode: UnicodeRepair = UnicodeRepair()
    repeated_lines: RepeatedLines = RepeatedLines()
    c4_lines: C4Lines = C4Lines()
    pii: PersonalData = PersonalData()

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.edits:
            raise ValueError("edits: found none; name some, for example edits: [unicode, pii]")
        twice = sorted({name for name in self.edits if self.edits.count(name) > 1})
        if twice:
            raise ValueError(f"edits: found {twice[0]!r} twice; each is applied once: remove it")
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        idle = [
            name
            for name in sorted(defaults.keys() - {"edits", *self.edits})
            if getattr(self, name) != defaults[name]
        ]
        if idle:
            raise ValueError(
                f"{idle[0]} is set, but edits are {', '.join(self.edits)}; add {idle[0]!r} to "
                "`edits` where it is to be applied, or remove its settings"
            )
        return self

    def edit(self, name: EditName) -> Edit:
        """Return an edit that needs nothing but the text."""
        edits: Mapping[str, Edit] = {
            "unicode": self.unicode,
            "c4_lines": self.c4_lines,
            "pii": self.pii,
        }
        return edits[name]


class Cleaner:
    """Edits documents: kept ones, emptied ones, and what was done."""

    def __init__(self, edits: Mapping[str, Edit]) -> None:
        self._edits = edits

    def __call__(self, documents: pa.Table) -> Judged:
        """Return edited documents and the report of the edits."""
        cleaned = clean(documents, self._edits)
        report = cleaned.report
        if "pii" in self._edits:  # lines that were taken out before it hold data too
            report = redacted(report, self._edits["pii"])
        kept = cleaned.report.filter(cleaned.report["kept"])
        changed = pc.count_distinct(kept["doc_id"]).as_py()
        found = _summed(kept, "count")
        return Judged(
            cleaned.kept,
            cleaned.dropped,
            aside=report,
            edited=changes_of(kept),
            metrics={"documents_changed": changed, **{f"found.{k}": n for k, n in found.items()}},
        )


def run(workspace: Workspace, config: CleanConfig) -> StageOutput:
    """Edit every unit of the slot `documents`; see StageOutput for what comes back."""
    units = units_of(workspace.input("documents"))
    edits: dict[str, Edit] = {}
    counted: tuple[FileEntry, ...] = ()
    for name in config.edits:
        if name == _REPEATED:
            lines = config.repeated_lines
            documents_of, counted = repeated_lines.count(workspace, units, dict(edits), lines)
            edits[name] = RepeatedLineRemoval(lines, documents_of)
        else:
            edits[name] = config.edit(name)
    factory = partial(DocumentsWorker, desk_of(workspace), partial(Cleaner, edits))
    records = run_units(workspace, units, factory)
    return stage_output(records, schema=schemas.DOCUMENT.to_string(), extra_files=counted)


def changes_of(report: pa.Table) -> dict[str, Change]:
    """Return edit.kind -> documents and bytes of the rows of a report."""
    removed, added = _summed(report, "removed"), _summed(report, "added")
    documents = _summed(report, "doc_id")
    return {
        name: Change(rows=rows, removed=removed[name], added=added[name])
        for name, rows in documents.items()
    }


def _summed(report: pa.Table, column: str) -> dict[str, int]:
    """Return edit.kind -> the sum of a column, of doc_id the number of rows; sorted."""
    how = "count" if column == "doc_id" else "sum"
    grouped = report.select(["edit", "kind", column]).group_by(["edit", "kind"])
    rows = grouped.aggregate([(column, how)]).to_pylist()
    sums = {f"{row['edit']}.{row['kind']}": int(row[f"{column}_{how}"]) for row in rows}
    return dict(sorted(sums.items()))
