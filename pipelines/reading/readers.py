"""Read a portion of a listed file as documents and rejects: streaming, strict, losing no field."""

from collections.abc import Callable, Iterator, Mapping

from pipelines.errors import InputError
from pipelines.reading.arrow import read_arrow
from pipelines.reading.documentation import read_documentation
from pipelines.reading.html import read_html
from pipelines.reading.jsonl import read_jsonl
from pipelines.reading.lines import read_lines
from pipelines.reading.parquet import read_parquet
from pipelines.reading.portion import AS_USUAL, Portion, Reading
from pipelines.reading.raw import Parse, Parser, Raw
from pipelines.reading.records import Record, Reject, damage
from pipelines.reading.text import read_text
from pipelines.reading.warc import read_warc
from pipelines.streams import BrokenStreamError

Cut = Callable[[Portion, Reading], Iterator[Record | Raw]]


def cut(portion: Portion, reading: Reading) -> Iterator[Record | Raw]:
    """Yield what stands in a portion: records, raw ones, and damage where it cannot be read."""
    try:
        yield from READERS[portion.file.format](portion, reading)
    except BrokenStreamError as error:
        yield damage(portion.file, "end", error.reason, error.reached)


def read(
    portion: Portion, reading: Reading = AS_USUAL, parse: Parse | None = None, cut: Cut = cut
) -> Iterator[Record]:
    """Yield the records of a portion in order; `parse` (none: `Parser`) makes them of raw ones.

    A position is where the line begins in the decompressed file (jsonl, lines), a row number from
    0 (Parquet, Arrow), where the record begins (WARC), an object and its line (docstrings), a
    topic, or 0 (a whole text or page). Fields other than text and url are kept as JSON in the
    document's metadata.

    Raises:
        InputError: the file is gone, or it is damaged and `broken_files` is "stop"; with
            "set_aside" everything readable is yielded, and one Reject of rule broken_file for
            each place where something is not.
    """
    file, parse = portion.file, parse or Parser(reading)
    try:
        for found in cut(portion, reading):
            for record in parse(found) if isinstance(found, Raw) else (found,):
                if isinstance(record, Reject) and record.rule == "broken_file":
                    _check_policy(portion, reading, record)
                yield record
    except FileNotFoundError as error:
        raise InputError(
            f"{file.uri}: the file was listed and is gone. Put it back, or run again: the plan "
            "will list what is there now."
        ) from error


def _check_policy(portion: Portion, reading: Reading, found: Reject) -> None:
    if reading.broken_files == "stop":
        raise InputError(
            f"{portion.file.uri}: the file is broken: {found.error}. Replace the file, or set "
            "`broken_files: set_aside` in the config of the extract stage (`llada filter "
            "--broken-files set_aside`): what is readable is then kept, the rest is recorded."
        )


READERS: Mapping[str, Callable[[Portion, Reading], Iterator[Record | Raw]]] = {
    "jsonl": read_jsonl,
    "lines": read_lines,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "text": read_text,
    "html": read_html,
    "warc": read_warc,
    "python_docs": read_documentation,
    "package_metadata": read_documentation,
    "pydoc_topics": read_documentation,
}
"""Format of a listed file -> its reader; a new format is a file beside these and a line here."""
