"""Cut files that are larger than a unit into portions; where and whether depends on the format.

A cut never changes what is read: bytes are cut anywhere and a reader begins at the next line or
gzip member, Parquet is cut between row groups, Arrow's file form between batches, a plain WARC file
between records.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import pyarrow.parquet as pq

from pipelines import streams
from pipelines.listed_files import SourceFile
from pipelines.reading import warc_frames
from pipelines.reading.arrow_blocks import blocks_of, is_file_form
from pipelines.reading.columns import DAMAGE, content_fault
from pipelines.reading.opening import opened
from pipelines.reading.portion import Portion


def portions_of(file: SourceFile, most_bytes: int) -> list[Portion]:
    """Return a file as portions of about so many bytes, in order; as one where it cannot be cut.

    Raises:
        FileNotFoundError: the file is gone.
    """
    splitter = _splitter(file, most_bytes)
    if splitter is None:
        return [Portion(file=file)]
    ends: list[int | None] = [0, *splitter(file, most_bytes), None]
    return [Portion(file=file, start=start or 0, stop=stop) for start, stop in pairwise(ends)]


def is_looked_into(file: SourceFile, most_bytes: int) -> bool:
    """Whether `portions_of` has to look into a file to say where it can be cut."""
    return _splitter(file, most_bytes) not in (None, _between_bytes)


def _splitter(
    file: SourceFile, most_bytes: int
) -> Callable[[SourceFile, int], Iterator[int]] | None:
    if file.bytes <= most_bytes or not file.has_ranges:
        return None
    return SPLITTERS.get(file.format)


def _between_bytes(file: SourceFile, most_bytes: int) -> Iterator[int]:
    if not streams.suffix_of(file.uri):
        yield from range(most_bytes, file.bytes, most_bytes)


def _between_groups(file: SourceFile, most_bytes: int) -> Iterator[int]:
    """Yield before which row groups to cut; a file without a readable footer is not cut."""
    yield from _between(_group_sizes(file), most_bytes)


def _between_batches(file: SourceFile, most_bytes: int) -> Iterator[int]:
    """Yield before which batches to cut; a stream, or a file with a damaged footer, is not cut."""
    yield from _between(_batch_sizes(file), most_bytes)


def _between(sizes: list[int], most_bytes: int) -> Iterator[int]:
    held = 0
    for number, size in enumerate(sizes):
        if held and held + size > most_bytes:
            yield number
            held = 0
        held += size


def _group_sizes(file: SourceFile) -> list[int]:
    with opened(file) as stream:
        try:
            metadata = pq.ParquetFile(stream).metadata
        except DAMAGE as error:
            content_fault(error)
            return []
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        return [
            sum(group.column(n).total_compressed_size for n in range(group.num_columns))
            for group in groups
        ]


def _batch_sizes(file: SourceFile) -> list[int]:
    with opened(file) as stream:
        try:
            return [block.bytes for block in blocks_of(stream)] if is_file_form(stream) else []
        except ValueError:
            return []


def _between_records(file: SourceFile, most_bytes: int) -> Iterator[int]:
    with opened(file) as stream:
        if warc_frames.is_gzip(stream):
            yield from range(most_bytes, file.bytes, most_bytes)
            return
        last = 0
        for start in warc_frames.plain_starts(stream):
            if start - last >= most_bytes:
                yield start
                last = start


class Piece(NamedTuple):
    """What can be read without the rest of its file, and its name there."""

    name: str
    portion: Portion


def pieces_of(portion: Portion) -> list[Piece]:
    """Return the row groups or batches of a portion; in other formats it is one piece.

    Raises:
        FileNotFoundError: the file is gone.
    """
    name, sizes = COUNTED.get(portion.file.format, ("", lambda file: []))
    total = len(sizes(portion.file)) if portion.file.has_ranges else 0
    numbers = range(total)[portion.start : portion.stop]
    if not numbers:
        return [Piece(f"the portion at {portion.start}", portion)]
    ends = [*numbers[1:], portion.stop]
    return [
        Piece(f"{name} {start}", portion.model_copy(update={"start": start, "stop": stop}))
        for start, stop in zip(numbers, ends, strict=True)
    ]


SPLITTERS: Mapping[str, Callable[[SourceFile, int], Iterator[int]]] = {
    "jsonl": _between_bytes,
    "lines": _between_bytes,
    "parquet": _between_groups,
    "arrow": _between_batches,
    "warc": _between_records,
}
"""Format -> where a file of it may be cut; a format that is not here is read whole."""

COUNTED: Mapping[str, tuple[str, Callable[[SourceFile], list[int]]]] = {
    "parquet": ("group", _group_sizes),
    "arrow": ("batch", _batch_sizes),
}
"""Format -> what its portions are counted in, and how large each of a file is."""
