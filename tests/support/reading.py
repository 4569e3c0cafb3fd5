"""Read files as the extract stage does, without a stage around it; WARC records made by hand."""

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path

from pipelines import storage
from pipelines.found_files import format_of
from pipelines.listed_files import SourceFile
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.readers import read
from pipelines.reading.records import Document, Record, Reject
from pipelines.reading.splitting import portions_of

Read = Callable[..., list[Record]]


def listed(path: Path, format_: str | None = None) -> SourceFile:
    return SourceFile.model_validate(
        {
            "name": path.name,
            "uri": str(path),
            "format": format_ or format_of(path.name),
            "bytes": path.stat().st_size,
            "xxh3_128": storage.hash_file(path),
        }
    )


def read_file(path: Path, format_: str | None = None, **options: object) -> list[Record]:
    """Read a file as one portion."""
    portion = Portion(file=listed(path, format_))
    return list(read(portion, Reading.model_validate(options)))


def read_split(
    path: Path, unit: int, format_: str | None = None, **options: object
) -> list[Record]:
    """Read a file as the portions that it is cut into."""
    reading = Reading.model_validate(options)
    portions = portions_of(listed(path, format_), unit)
    return [record for portion in portions for record in read(portion, reading)]


def broken(record: Record) -> Reject:
    assert isinstance(record, Reject), record
    return record


def texts(records: Iterable[Record]) -> list[str]:
    return [record.text for record in records if isinstance(record, Document)]


def rules(records: Iterable[Record]) -> list[str]:
    return [record.rule if isinstance(record, Reject) else "" for record in records]


def warc_record(kind: str, block: bytes, content_type: str = "", **headers: str) -> bytes:
    """Return one record of a WARC file; `X_License="MIT"` becomes a header X-License."""
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        "WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000000>",
        "WARC-Date: 2024-05-18T01:58:10Z",
        f"Content-Length: {len(block)}",
        *([f"Content-Type: {content_type}"] if content_type else []),
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + block + b"\r\n\r\n"


def response(body: bytes, *http: str, status: str = "200 OK", **headers: str) -> bytes:
    """Return a response record; `http` are lines of the HTTP header, else it is text/html."""
    lines = [f"HTTP/1.1 {status}", *(http or ("Content-Type: text/html",)), "", ""]
    block = "\r\n".join(lines).encode() + body
    uri = {"WARC_Target_URI": "https://example.org/page", **headers}
    return warc_record("response", block, "application/http; msgtype=response", **uri)


def warc_gz(records: Iterable[bytes]) -> bytes:
    """Return records as a .warc.gz has them: a gzip member each."""
    return b"".join(gzip.compress(record, mtime=0) for record in records)
