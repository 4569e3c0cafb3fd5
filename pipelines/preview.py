"""A few documents from all over a source, in seconds: what a filter is tried on before it runs.

The same inputs give the same sample. Every file has its part of it by its size, one document at
least (where there are more files than documents wanted, evenly spread ones have); in a large file
it is read at places spread evenly over its bytes, in one that is compressed as a whole, at its
beginning. Each document is told with how much text of the source it stands for, so what follows
from the sample is weighed by size.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
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
from pipelines.reading.arrow_blocks import blocks_of
from pipelines.reading.opening import opened
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.readers import read
from pipelines.reading.records import Document
from pipelines.reading.splitting import portions_of
from pipelines.source import SourceConfig, listed_unhashed

_PLACES = 32
"""In large files, beside one for each file: more would cost seconds."""
_SLICE = 256 << 10
"""Bytes read at a place of a file that can be cut anywhere."""
_BEGINNING = 4 << 20
"""Bytes of content read of a file that can only be read from its beginning."""
_MOST_READ = 128 << 20
"""Bytes of content read of all files together, about."""
_READING = Reading(broken_files="set_aside")


@dataclass
class Sample:
    """Documents from all over a source, and what was learned on the way."""

    documents: pa.Table
    """Of the schema DOCUMENT."""
    files: int
    bytes: int
    """Of all files of the source, on disk."""
    stands_for: list[float] = field(default_factory=list)
    """Bytes of text of the source that each document stands for; of files, see `knows_text`."""
    knows_text: bool = False
    """Whether the places told how much text the bytes of their files hold."""
    places: int = 0
    not_documents: Counter[str] = field(default_factory=Counter)
    """Records that are no document, by the rule that says why."""
    read_text_bytes: int = 0
    """The text that was read, of which the documents are a part."""

    @property
    def text_bytes(self) -> int | None:
        """The text that all files hold, as far as the sample tells; None where it does not."""
        return round(sum(self.stands_for)) if self.knows_text else None


class _Place(NamedTuple):
    portion: Portion
    bytes: int | None
    """What the portion takes of its file, where it is known."""
    rows: int | None = None
    """How many there are, where it is known before they are read."""
    text_bytes: int | None = None
    """The text it holds, where that is known before: the first documents may be the longest."""


@dataclass
class _Wanted:
    """What a place is to give, and what it gave."""

    place: _Place
    documents: int
    stands_for: float
    """Bytes of the source's files."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    ratio: float | None = None
    """Bytes of text in a byte of the file."""


def sample(config: SourceConfig, documents: int, base: Path) -> Sample:
    """Return about so many documents of a source (fewer where it holds fewer), in seconds.

    Raises:
        InputError: as `pipelines.source.survey`; also where nothing that was read is a document.
    """
    files = listed_unhashed(config, base)
    found = Sample(schemas.DOCUMENT.empty_table(), len(files), sum(file.bytes for file in files))
    places = _places(files, documents)
    found.places = len(places)
    for one in places:
        _read(one, found)
    rows = [row for one in places for row in one.rows]
    if not rows:
        rules = ", ".join(f"{count} {rule}" for rule, count in found.not_documents.most_common())
        raise InputError(
            f"no document at {len(places)} places of {len(files)} files: found "
            f"{rules or 'nothing'}. Check the paths; the whole job would say where each one stands."
        )
    found.documents = pa.Table.from_pylist(rows, schema=schemas.DOCUMENT)
    _weigh(places, found)
    return found


def _weigh(places: list[_Wanted], found: Sample) -> None:
    """Tell what each document stands for; a place that tells no ratio is like the others."""
    known = [(one.ratio, one.stands_for) for one in places if one.ratio is not None]
    weight = sum(stands for _, stands in known)
    found.knows_text = weight > 0
    usual = sum(ratio * stands for ratio, stands in known) / weight if weight else 1.0
    for one in places:
        text = one.stands_for * (usual if one.ratio is None else one.ratio)
        sizes = [len(row["text"].encode()) for row in one.rows]
        found.stands_for += [text * size / sum(sizes) for size in sizes]


def _places(files: list[SourceFile], documents: int) -> list[_Wanted]:
    """Return where to read, in the order of the files."""
    shares = _shares([file.bytes for file in files], documents)
    read = [(file, share) for file, share in zip(files, shares, strict=True) if share]
    total = max(1, sum(file.bytes for file in files))
    covered = max(1, sum(file.bytes for file, _ in read))
    most = _MOST_READ // (_PLACES + len(read))
    found: dict[tuple[str, int], _Wanted] = {}
    for file, share in read:
        is_whole = bool(streams.suffix_of(file.uri)) and file.format != "warc"
        count = 1 if is_whole else max(1, min(share, round(_PLACES * file.bytes / total)))
        for number in range(count):
            most_here = most if is_whole else min(most, file.bytes // count)
            place = _place(file, (number + 0.5) / count, most_here)
            wanted = (number + 1) * share // count - number * share // count
            stands = file.bytes / count * total / covered
            one = found.setdefault((file.uri, place.portion.start), _Wanted(place, 0, 0))
            one.documents, one.stands_for = one.documents + wanted, one.stands_for + stands
    return list(found.values())


def _shares(sizes: list[int], documents: int) -> list[int]:
    """Return how many documents are wanted of each file."""
    least = 1 if len(sizes) <= documents else 0
    spread, total = documents - least * len(sizes), max(1, sum(sizes))
    ends = [end * spread // total for end in accumulate(sizes, initial=0)]
    if not sum(sizes):
        ends[-1] = spread
    return [least + after - before for before, after in pairwise(ends)]


def _place(file: SourceFile, fraction: float, most: int) -> _Place:
    """Return what is read of a file to know it there; the whole where it cannot be cut."""
    whole = _Place(Portion(file=file), file.bytes)
    is_lines = file.format in ("jsonl", "lines")
    if is_lines and file.has_ranges and streams.suffix_of(file.uri):
        return _beginning(file, min(_BEGINNING, most))
    if file.bytes <= 4 * _SLICE or not file.has_ranges:
        return whole
    if file.format in ("parquet", "arrow"):
        return _group(file, fraction)
    if file.format == "warc":
        with opened(file) as stream:
            fraction = fraction if warc_frames.is_gzip(stream) else 0.0
    elif not is_lines:
        return whole
    start = int(fraction * file.bytes)
    stop = min(file.bytes, start + min(_SLICE, max(1, most)))
    return _Place(Portion(file=file, start=start, stop=stop), stop - start)


def _group(file: SourceFile, fraction: float) -> _Place:
    """Return a row group, or a record batch; the whole of a file that tells of none."""
    portions = portions_of(file, 1)
    portion = portions[int(fraction * len(portions))]
    with opened(file) as stream:
        try:
            if file.format == "arrow":
                block = blocks_of(stream)[portion.start]
                return _Place(portion, block.bytes, block.rows)
            group = pq.ParquetFile(stream).metadata.row_group(portion.start)
        except (pa.ArrowException, ValueError, IndexError):  # damaged or empty: its reader says so
            return _Place(portion, file.bytes)
        columns = [group.column(n) for n in range(group.num_columns)]
        size = sum(column.total_compressed_size for column in columns)
        texts = {column.path_in_schema: column.total_uncompressed_size for column in columns}
        text = next((texts[name] for name in ("text", "content") if name in texts), None)
        return _Place(portion, size, group.num_rows, text)


def _beginning(file: SourceFile, most: int) -> _Place:
    """Return the beginning of a compressed file, and what it takes of the file."""
    held = 0
    with opened(file) as stream:
        try:
            for piece in streams.pieces(stream, streams.suffix_of(file.uri)):
                held += len(piece)
                if held >= most:
                    return _Place(Portion(file=file, stop=held), stream.tell())
        except streams.BrokenStreamError:
            pass  # its reader says so, and where
    return _Place(Portion(file=file), file.bytes)


def _read(one: _Wanted, found: Sample) -> None:
    """Take documents of a place: from all over what is small, else the first there."""
    place, is_small = one.place, _is_small(one.place)
    text_bytes, size, told = 0, place.bytes, None
    for records, record in enumerate(read(place.portion, _READING)):
        if len(one.rows) >= one.documents and not is_small:
            size = place.bytes * records // place.rows if place.rows and place.bytes else None
            told = place.text_bytes
            break
        if not isinstance(record, Document):
            found.not_documents[record.rule] += 1
        elif not record.text.strip():
            found.not_documents["empty_text"] += 1
        else:
            text_bytes += len(record.text.encode())
            one.rows.append(document_row(record))
    found.read_text_bytes += text_bytes
    if told is not None and place.bytes:
        one.ratio = told / place.bytes
    elif size:
        one.ratio = text_bytes / size
    one.rows = _spread(one.rows, one.documents)


def _is_small(place: _Place) -> bool:
    """Whether a place is read to its end at little cost: a slice, or a small file or group."""
    portion = place.portion
    if portion.file.format not in ("parquet", "arrow") and portion.stop is not None:
        return True
    return (place.bytes or portion.file.bytes) <= 4 * _SLICE


def _spread(rows: list[dict[str, Any]], wanted: int) -> list[dict[str, Any]]:
    if len(rows) <= wanted:
        return rows
    return [rows[int(at)] for at in np.linspace(0, len(rows) - 1, wanted).round()]
