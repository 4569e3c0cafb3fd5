"""Read a listed file as documents and broken records: streaming, strict, and losing no field."""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from pipelines.errors import InputError
from pipelines.listed_files import SourceFile
from pipelines.reading.documentation import read_documentation
from pipelines.reading.jsonl import read_jsonl
from pipelines.reading.parquet import read_parquet
from pipelines.reading.records import BrokenRecord, Record, document_id
from pipelines.reading.text import read_text
from pipelines.streams import BrokenStreamError

BrokenFiles = Literal["stop", "set_aside"]

MOST_BYTES = 64 << 20
"""The longest line or text file that is read; a longer one is a broken record."""


def read(
    file: SourceFile, *, broken_files: BrokenFiles = "stop", most_bytes: int = MOST_BYTES
) -> Iterator[Record]:
    """Yield the records of a file in order.

    A position is a line number (jsonl, from 1), a row number (Parquet, from 0), an object and its
    line (docstrings), a topic, or 0 (a whole text). Fields other than text and url are kept as
    JSON in the document's metadata.

    Raises:
        InputError: the file is gone, or it is damaged and `broken_files` is "stop"; with
            "set_aside" everything readable is followed by one BrokenRecord of rule broken_file.
    """
    try:
        yield from READERS[file.format](file, most_bytes)
    except BrokenStreamError as error:
        if broken_files == "stop":
            raise InputError(
                f"{file.uri}: the file is broken: {error.reason}; it was readable up to "
                f"{error.reached}. Replace the file, or set `broken_files: set_aside` in the "
                "config of the extract stage: what is readable is then kept, the rest is recorded."
            ) from error
        reason = f"{error.reason}; readable up to {error.reached}"
        name = file.name
        yield BrokenRecord(document_id(name, "end"), name, "end", reason, rule="broken_file")
    except FileNotFoundError as error:
        raise InputError(
            f"{file.uri}: the file was listed and is gone. Put it back, or run again: the plan "
            "will list what is there now."
        ) from error


READERS: Mapping[str, Callable[[SourceFile, int], Iterator[Record]]] = {
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "text": read_text,
    "python_docs": read_documentation,
    "package_metadata": read_documentation,
    "pydoc_topics": read_documentation,
}
"""Format of a listed file -> its reader; a new format is a file beside these and a line here."""
