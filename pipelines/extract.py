"""Read listed files into documents; what is no document is kept aside with the reason."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from pipelines import schemas, storage
from pipelines.deaths import InChild
from pipelines.errors import InputError
from pipelines.ledger import Count, Ledger
from pipelines.listed_files import SourceFile
from pipelines.reading.apart import CutApart, Cutter, Step
from pipelines.reading.portion import BrokenFiles, Extractor, Portion, Reading
from pipelines.reading.raw import OrAside, Parse, Parser, Raw
from pipelines.reading.readers import Cut, cut, read
from pipelines.reading.records import Document, Record, Reject
from pipelines.reading.splits import portions_of_all
from pipelines.reading.splitting import Piece, pieces_of
from pipelines.shards import FileEntry, Role, ShardFiles, ShardRecord, save_record
from pipelines.unchanged import check_still_unchanged, check_unchanged, stamped
from pipelines.units import run_units, stage_output
from pipelines.workspace import InputArtifact, Progress, StageOutput, Workspace

_LEAST_UNIT, _LARGEST_UNIT = 8 << 20, 64 << 20
_UNITS = 20_000
"""A driver hands out about 150 units a second, and keeps the record of each."""
_ROW_BYTES = 200
"""What a row without text counts for where memory is bounded."""


class ExtractConfig(BaseModel):
    """What becomes a document, and how large a shard is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    min_characters: int = Field(default=200, ge=0)
    """Docstrings below this length are dropped; other formats hold documents, not fragments."""
    broken_files: BrokenFiles = "stop"
    """A damaged file stops the stage, or is kept as far as it is readable and recorded."""
    extractor: Extractor = "resiliparse"
    """What finds the main text of an HTML page; trafilatura is slower by an order of magnitude."""
    unit_bytes: int | None = Field(default=None, ge=1)
    """Work is cut into units of about this size, and a shard holds about so much text; None: 8 MiB,
    and up to 64 MiB where that would make more than 20,000 units."""


class ExtractUnit(BaseModel):
    """Consecutive files of the listing, or parts of them, that are read and recorded as one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard: str
    portions: tuple[Portion, ...]


class ExtractWorker:
    """Reads the files of a unit; writes documents and rejects in parts of bounded size."""

    def __init__(
        self,
        root: str,
        attempt: str,
        stage: str,
        config: ExtractConfig,
        parser: Callable[[Reading], Parse] = Parser,
    ) -> None:
        self._root, self._attempt, self._stage = storage.at(root), attempt, stage
        self._parser = parser
        self._min_characters = config.min_characters
        self._unit_bytes = config.unit_bytes or _LEAST_UNIT
        self._reading = Reading(broken_files=config.broken_files, extractor=config.extractor)

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Read the unit's files, write its parts, return the record.

        Raises:
            InputError: a file is gone or changed since it was listed, or is damaged and the config
                says to stop.
        """
        return self._with(self._parser(self._reading), unit)

    def carefully(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Do the same with files read and records parsed in processes of their own.

        A record that the parser dies of is kept aside; what a reader dies of is a damaged file.
        """
        with (
            InChild[Raw, list[Record]](partial(self._parser, self._reading)) as parse,
            InChild[Portion, list[Piece]](partial(partial, pieces_of)) as pieces,
            InChild[Step, list[Record | Raw]](partial(Cutter, self._reading)) as cutter,
        ):
            return self._with(parse, unit, CutApart(pieces, cutter))

    def _with(self, parse: Parse, unit: Mapping[str, Any], cut: Cut = cut) -> ShardRecord:
        parse = OrAside(parse)
        todo = ExtractUnit.model_validate(unit)
        documents = self._parts(todo.shard, "data", schemas.DOCUMENT)
        rejects = self._parts(todo.shard, "rejects", schemas.DROPPED)
        for portion in todo.portions:
            check_unchanged(portion)
            for record in read(portion, self._reading, parse, cut):
                row = document_row(record)
                verdict = self._verdict(portion.file, record)
                if verdict is None:
                    documents.add(row, "kept")
                else:
                    rejects.add({**row, **verdict, "stage": self._stage}, str(verdict["rule"]))
            check_still_unchanged(portion)
        kept, dropped = documents.close(), rejects.close()
        entered = sum(dropped.values(), start=kept.get("kept", Count()))
        finished = ShardRecord(
            shard=todo.shard,
            files=(*documents.entries, *rejects.entries),
            ledger=Ledger(entered=entered, kept=kept.get("kept", Count()), dropped=dropped),
            metrics=_metrics(todo.portions),
        )
        return save_record(self._root, finished)

    def _parts(self, shard: str, role: Role, schema: pa.Schema) -> "_Parts":
        def part(number: int) -> ShardFiles:
            return ShardFiles(self._root, f"{shard}-{number:05d}", self._attempt)

        return _Parts(part, role, schema, self._unit_bytes)

    def _verdict(self, file: SourceFile, record: Record) -> dict[str, Any] | None:
        """Return why a record is dropped (rule, feature, value, limit), None where it is kept."""
        if isinstance(record, Reject):
            return {
                "rule": record.rule,
                "feature": record.feature,
                "value": record.value,
                "limit": record.limit,
            }
        if not record.text.strip():
            return {"rule": "empty_text", "feature": "reader", "value": None, "limit": None}
        if file.format != "python_docs":
            return None
        characters = len(record.text.partition("\n\n")[2])  # without the heading
        limit = self._min_characters
        if characters >= limit:
            return None
        return {
            "rule": "short_docstring",
            "feature": "characters",
            "value": float(characters),
            "limit": float(limit),
        }


class _Parts:
    """Collects rows of one role and writes a part whenever enough text has come together."""

    def __init__(
        self, part: Callable[[int], ShardFiles], role: Role, schema: pa.Schema, most_bytes: int
    ) -> None:
        self._part, self._role = part, role
        self._schema, self._most_bytes = schema, most_bytes
        self._rows: list[dict[str, Any]] = []
        self._held = 0
        self._parts: list[ShardFiles] = []
        self._row_counts: Counter[str] = Counter()
        self._byte_counts: Counter[str] = Counter()

    @property
    def entries(self) -> tuple[FileEntry, ...]:
        """The files written so far."""
        return tuple(entry for part in self._parts for entry in part.entries)

    def add(self, row: dict[str, Any], reason: str) -> None:
        """Take a row and count it under `reason`."""
        text: str = row["text"]
        size = len(text) if text.isascii() else len(text.encode())
        self._rows.append(row)
        self._row_counts[reason] += 1
        self._byte_counts[reason] += size
        self._held += size + _ROW_BYTES
        if self._held >= self._most_bytes:
            self._write()

    def close(self) -> dict[str, Count]:
        """Write what is left; return rows and bytes by reason, sorted."""
        if self._rows:
            self._write()
        return {
            reason: Count(rows=self._row_counts[reason], bytes=self._byte_counts[reason])
            for reason in sorted(self._row_counts)
        }

    def _write(self) -> None:
        part = self._part(len(self._parts))
        part.write_parquet(pa.Table.from_pylist(self._rows, schema=self._schema), self._role)
        self._parts.append(part)
        self._rows, self._held = [], 0


def document_row(record: Record) -> dict[str, Any]:
    """Return a record as a row of DOCUMENT; a reject tells its place and error as metadata."""
    row = {
        "doc_id": record.doc_id, "text": record.text, "url": record.url, "source": record.source,
    }  # fmt: skip
    if isinstance(record, Document):
        return {**row, "metadata": record.metadata}
    return {**row, "metadata": json.dumps({"position": record.position, "error": record.error})}


def _metrics(portions: Iterable[Portion]) -> dict[str, float]:
    """Count each file once, with its first portion."""
    files = [portion.file for portion in portions if portion.start == 0]
    return {"files": len(files), "file_bytes": sum(file.bytes for file in files)}


def fitting_unit(total_bytes: int) -> int:
    """Return the size of units for files of so many bytes together."""
    return min(max(total_bytes // _UNITS, _LEAST_UNIT), _LARGEST_UNIT)


def units_of_files(
    files: Sequence[SourceFile],
    unit_bytes: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ExtractUnit]:
    """Group consecutive files: a unit ends before the file that would take it over the size.

    A file that is larger by itself is cut, where its format allows; each part is a unit.
    `on_progress`: see `portions_of_all`.
    """
    groups: list[list[Portion]] = []
    held = 0
    portions_of_file = portions_of_all(files, unit_bytes, on_progress)
    for file in files:
        portions = portions_of_file[file.name]
        if len(portions) > 1:
            groups.extend([portion] for portion in stamped(portions))
        elif not groups or held + file.bytes > unit_bytes:
            groups.append(portions)
            held = 0
        else:
            groups[-1].extend(portions)
        held = unit_bytes + 1 if len(portions) > 1 else held + file.bytes
    return [
        ExtractUnit(shard=f"{number:05d}", portions=tuple(group))
        for number, group in enumerate(groups)
    ]


def listed(artifact: InputArtifact) -> list[SourceFile]:
    """Return the rows of a source artifact."""
    return [SourceFile(**row) for table in artifact.tables() for row in table.to_pylist()]


def run(workspace: Workspace, config: ExtractConfig) -> StageOutput:
    """Extract the files of the slot `source`.

    Raises:
        InputError: see ExtractWorker; also where no file holds a single document.
    """
    files = listed(workspace.input("source"))
    unit_bytes = config.unit_bytes or fitting_unit(sum(file.bytes for file in files))

    def looked(done: int, total: int) -> None:
        workspace.stop.check()
        workspace.on_progress(Progress(done, total, "files looked into"))

    units = units_of_files(files, unit_bytes, looked)
    factory = partial(
        ExtractWorker,
        root=str(workspace.root),
        attempt=workspace.attempt,
        stage=workspace.stage,
        config=config.model_copy(update={"unit_bytes": unit_bytes}),
    )
    output = stage_output(run_units(workspace, units, factory), schema=schemas.DOCUMENT.to_string())
    if not output.ledger.kept.rows:
        rules = ", ".join(f"{count.rows:,} {rule}" for rule, count in output.ledger.dropped.items())
        raise InputError(
            f"no document in {len(files)} files, first {files[0].uri}: found {rules or 'nothing'}. "
            f"The reasons stand in {workspace.root / 'rejects'}; check the paths and the format "
            "of the source stage."
        )
    return output
