"""Read a listed file as documents and broken records: streaming, strict, and losing no field."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pipelines import docstrings, streams
from pipelines.docstrings import Passage
from pipelines.errors import InputError
from pipelines.source import SourceFile
from pipelines.streams import BrokenStreamError

BrokenFiles = Literal["stop", "set_aside"]

MOST_BYTES = 64 << 20
"""The longest line or text file that is read; a longer one is a broken record."""
_BATCH_ROWS = 256
_NO_VALUE = (ValueError, OverflowError)
"""What Arrow raises for text that is not UTF-8 (a ValueError) and for dates after 9999."""
_SHOWN = 2000
"""Characters of a broken record that are kept for whoever looks into it."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document as the schema DOCUMENT has it; a reader knows no language yet."""

    doc_id: str
    text: str
    url: str | None
    source: str
    metadata: str | None


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """A record that is no document, or the place where a file breaks off."""

    doc_id: str
    source: str
    position: str
    error: str
    text: str = ""
    """What was readable of it, cut to a size to look at."""
    rule: Literal["broken_record", "broken_file"] = "broken_record"


Record = Document | BrokenRecord


def document_id(source: str, position: str) -> str:
    """Return the stable id of a document: a hash of its file's name and its place in the file."""
    return xxhash.xxh3_128_hexdigest(f"{source}\0{position}".encode())


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
        yield from _READERS[file.format](file, most_bytes)
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


def _jsonl(file: SourceFile, most_bytes: int) -> Iterator[Record]:
    for number, line in enumerate(streams.lines(Path(file.uri), most_bytes), start=1):
        if line is None:
            yield _broken(file, number, f"the line is longer than {most_bytes:,} bytes")
        elif line.strip():
            yield _json_line(file, number, line)


def _json_line(file: SourceFile, number: int, line: bytes) -> Record:
    try:
        fields = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        return _broken(file, number, f"not UTF-8: {error}", _readable(line))
    except (ValueError, RecursionError) as error:
        return _broken(file, number, f"not JSON: {error}", _readable(line))
    if not isinstance(fields, dict):
        return _broken(file, number, "not a JSON object", _readable(line))
    return _from_fields(file, number, fields)


def _parquet(file: SourceFile, _most_bytes: int) -> Iterator[Record]:
    row = 0
    try:
        with pq.ParquetFile(file.uri, page_checksum_verification=True) as parquet:
            for batch in _batches(parquet):
                for fields in _rows(batch):
                    if isinstance(fields, Exception):
                        yield _unreadable_row(file, row, fields)
                    else:
                        yield _from_fields(file, row, fields)
                    row += 1
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the content
            raise
        raise BrokenStreamError(str(error), f"row {row:,}") from error


def _batches(parquet: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Yield batches that end with their row group, so that a bad group costs no good row."""
    for group in range(parquet.num_row_groups):
        yield from parquet.iter_batches(_BATCH_ROWS, row_groups=[group])


def _rows(batch: pa.RecordBatch) -> Sequence[dict[str, Any] | Exception]:
    """Return the rows of a batch; in place of one that Python cannot hold stands its error."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except _NO_VALUE:
        return [_row(batch, index) for index in range(batch.num_rows)]
    return rows


def _row(batch: pa.RecordBatch, index: int) -> dict[str, Any] | Exception:
    try:
        row: dict[str, Any] = batch.slice(index, 1).to_pylist()[0]
    except _NO_VALUE as error:
        return error
    return row


def _unreadable_row(file: SourceFile, row: int, error: Exception) -> BrokenRecord:
    if isinstance(error, UnicodeDecodeError):
        return _broken(file, row, f"not UTF-8: {error}", _readable(error.object))
    return _broken(file, row, f"a value without a Python equivalent: {error}")


def _text(file: SourceFile, most_bytes: int) -> Iterator[Record]:
    content = _whole(file, most_bytes)
    if content is None:
        yield _broken(file, 0, f"the text is longer than {most_bytes:,} bytes")
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield _broken(file, 0, f"not UTF-8: {error}", _readable(content))
        return
    yield _document(file, 0, text, None, {})


def _documentation(file: SourceFile, most_bytes: int) -> Iterator[Record]:
    """Yield the passages of a file of an installed package."""
    content = _whole(file, most_bytes)
    if content is None:
        yield _broken(file, 0, f"the file is longer than {most_bytes:,} bytes")
        return
    try:
        for passage in _passages(file, content):
            yield _document(file, passage.position, passage.text, None, passage.metadata)
    except ValueError as error:
        yield _broken(file, 0, str(error), _readable(content))


def _passages(file: SourceFile, content: bytes) -> Iterator[Passage]:
    if file.format == "python_docs":
        yield from docstrings.docstrings(content, docstrings.module_name(file.name))
    elif file.format == "pydoc_topics":
        yield from docstrings.topics(content)
    else:
        yield docstrings.description(content)


def _whole(file: SourceFile, most_bytes: int) -> bytes | None:
    """Return the bytes of a file, None where there are more than `most_bytes`."""
    held: list[bytes] = []
    size = 0
    for piece in streams.pieces(Path(file.uri)):
        size += len(piece)
        if size > most_bytes:
            return None
        held.append(piece)
    return b"".join(held)


def _from_fields(file: SourceFile, position: int, fields: dict[str, Any]) -> Record:
    """Return the document of a record; `text` comes first, then `content`."""
    key = next((name for name in ("text", "content") if fields.get(name) is not None), None)
    if key is None:
        found = ", ".join(list(fields)[:10]) or "no field"
        return _broken(file, position, f"no `text` and no `content`; found {found}", _shown(fields))
    text = fields.pop(key)
    if not isinstance(text, str):
        kind = type(text).__name__
        return _broken(file, position, f"`{key}` is of type {kind}, no string", _shown(text))
    url = fields.pop("url", None) if isinstance(fields.get("url"), str | None) else None
    return _document(file, position, text, url, fields)


def _document(
    file: SourceFile, position: int | str, text: str, url: str | None, rest: Mapping[str, Any]
) -> Record:
    """Return a document, or a broken record where its text cannot be text."""
    where = str(position)
    for value in (text, url or ""):
        fault = _fault(value)
        if fault:
            return _broken(file, where, fault, _readable(value.encode("utf-8", "surrogatepass")))
    metadata = _json(rest) if rest else None
    return Document(document_id(file.name, where), text, url, file.name, metadata)


def _fault(text: str) -> str:
    """Return what makes a string unusable as text, '' where nothing does."""
    if "\0" in text:
        return f"a NUL character at {text.index(chr(0))}"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"half of a surrogate pair at {error.start}"
    return ""


def _broken(file: SourceFile, position: int | str, error: str, text: str = "") -> BrokenRecord:
    where = str(position)
    reason = _readable(error.encode("utf-8", "surrogatepass"))
    return BrokenRecord(document_id(file.name, where), file.name, where, reason, text)


def _readable(content: bytes) -> str:
    """Return the beginning of broken content; bytes that are no text appear as escapes."""
    return content[:_SHOWN].decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _shown(value: object) -> str:
    return _json(value)[:_SHOWN]


def _json(value: object) -> str:
    """Return any value of a JSON or Parquet record as JSON that Arrow can store."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # JSON has no nan and no infinity
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return str(value)


_READERS = {
    "jsonl": _jsonl,
    "parquet": _parquet,
    "text": _text,
    "python_docs": _documentation,
    "package_metadata": _documentation,
    "pydoc_topics": _documentation,
}
