"""A few documents from all over a source, in seconds: what a filter is tried on before it runs.

The same inputs give the same sample. Places are spread evenly over the bytes of the files; at each
place a little is read, and where the format allows no other way, the file from its beginning.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import schemas, streams
from pipelines.errors import InputError
from pipelines.extract import document_row
from pipelines.listed_files import SourceFile
from pipelines.reading import warc_frames
from pipelines.reading.opening import opened
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.readers import read
from pipelines.reading.records import Document
from pipelines.reading.splitting import portions_of
from pipelines.source import SourceConfig, listed_unhashed

_PLACES = 32
"""More would cost seconds where files are large: a row group is read as a whole."""
_SLICE = 256 << 10
"""Bytes read at a place of a file that can be cut anywhere."""
_SMALL = 1 << 20
_READING = Reading(broken_files="set_aside")


@dataclass
class Sample:
    """Documents from all over a source, and what was learned on the way."""

    documents: pa.Table
    """Of the schema DOCUMENT."""
    files: int
    bytes: int
    """Of all files of the source, on disk."""
    places: int = 0
    not_documents: Counter[str] = field(default_factory=Counter)
    """Records that are no document, by the rule that says why."""
    read_bytes: int = 0
    read_text_bytes: int = 0
    """What of files was read to an end, and the text it held; 0 where nothing was."""


class _Place(NamedTuple):
    portion: Portion
    bytes: int | None
    """What the portion takes of its file, where it is known."""
    rows: int | None = None
    """How many there are, where it is known before they are read."""


def sample(config: SourceConfig, documents: int, base: Path) -> Sample:
    """Return about so many documents of a source (fewer where it holds fewer), in seconds.

    Raises:
        InputError: as `pipelines.source.survey`; also where nothing that was read is a document.
    """
    files = listed_unhashed(config, base)
    found = Sample(schemas.DOCUMENT.empty_table(), len(files), sum(file.bytes for file in files))
    rows: list[dict[str, Any]] = []
    places = _places(files, documents)
    found.places = len(places)
    for place, wanted in places:
        rows += _read(place, wanted, found)
    if not rows:
        rules = ", ".join(f"{count} {rule}" for rule, count in found.not_documents.most_common())
        raise InputError(
            f"no document at {len(places)} places of {len(files)} files: found "
            f"{rules or 'nothing'}. Check the paths; the whole job would say where each one stands."
        )
    found.documents = pa.Table.from_pylist(rows, schema=schemas.DOCUMENT)
    return found


def _places(files: list[SourceFile], documents: int) -> list[tuple[_Place, int]]:
    """Return where to read, and how many documents of each place are wanted at least."""
    total = sum(file.bytes for file in files)
    small = total < _SMALL * len(files)
    count = documents if small else min(documents, _PLACES)
    ends = list(accumulate(file.bytes for file in files))
    wanted: Counter[tuple[int, int]] = Counter()
    for number in range(count):
        at = int((number + 0.5) * total / count)
        which = min(int(np.searchsorted(ends, at, side="right")), len(files) - 1)
        file = files[which]
        start = at - (ends[which] - file.bytes) if file.bytes > 4 * _SLICE else 0
        share = (number + 1) * documents // count - number * documents // count
        wanted[which, start] += share
    length = min(_SLICE, max(1, total // count))
    found: dict[tuple[int, int], tuple[_Place, int]] = {}
    for (which, start), share in wanted.items():
        place = _place(files[which], start, length)
        key = (which, place.portion.start)
        found[key] = (place, share + found.get(key, (place, 0))[1])
    return list(found.values())


def _place(file: SourceFile, start: int, length: int) -> _Place:
    """Return what is read of a file to know it at a byte; the whole where it cannot be cut."""
    whole = _Place(Portion(file=file), file.bytes)
    if file.bytes <= 4 * _SLICE or not file.has_ranges:
        return whole
    if file.format == "parquet":
        return _group(file, start / file.bytes)
    anywhere = file.format in ("jsonl", "lines") and not streams.suffix_of(file.uri)
    if file.format == "warc":
        with opened(file) as stream:
            anywhere = warc_frames.is_gzip(stream)
    if not anywhere:
        return whole
    stop = min(file.bytes, start + length)
    return _Place(Portion(file=file, start=start, stop=stop), stop - start)


def _group(file: SourceFile, fraction: float) -> _Place:
    groups = portions_of(file, 1)
    portion = groups[int(fraction * len(groups))]
    if portion.is_whole:
        return _Place(portion, file.bytes)
    with opened(file) as stream:
        group = pq.ParquetFile(stream).metadata.row_group(portion.start)
        size = sum(group.column(n).total_compressed_size for n in range(group.num_columns))
        rows = group.num_rows
    return _Place(portion, size, rows)


def _read(place: _Place, wanted: int, found: Sample) -> list[dict[str, Any]]:
    """Return documents of a place: from all over what is small, else the first there."""
    rows: list[dict[str, Any]] = []
    text_bytes, is_small = 0, _is_small(place.portion)
    for record in read(place.portion, _READING):
        if not isinstance(record, Document):
            found.not_documents[record.rule] += 1
            continue
        if not record.text.strip():
            found.not_documents["empty_text"] += 1
            continue
        if len(rows) == wanted and not is_small:
            if place.rows and place.bytes:
                found.read_bytes += place.bytes * wanted // place.rows
                found.read_text_bytes += text_bytes
            return rows
        text_bytes += len(record.text.encode())
        rows.append(document_row(record))
    found.read_bytes += place.bytes or 0
    found.read_text_bytes += text_bytes
    return _spread(rows, wanted)


def _is_small(portion: Portion) -> bool:
    """Whether a place is read to its end at little cost: a slice, or a small file."""
    if portion.file.format != "parquet" and portion.stop is not None:
        return True
    is_plain = not streams.suffix_of(portion.file.uri)
    return portion.is_whole and is_plain and portion.file.bytes <= 4 * _SLICE


def _spread(rows: list[dict[str, Any]], wanted: int) -> list[dict[str, Any]]:
    if len(rows) <= wanted:
        return rows
    return [rows[int(at)] for at in np.linspace(0, len(rows) - 1, wanted).round()]
