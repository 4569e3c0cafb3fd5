"""WARC and WET: one record a response that is a page, or a conversion that is a text.

Every other record is yielded as a Reject with the rule that says what it is, so that the books show
what a crawl consists of.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from fastwarc.warc import WarcRecord

from pipelines.listed_files import SourceFile
from pipelines.reading import warc_frames
from pipelines.reading.html import RawPage, page_record
from pipelines.reading.opening import opened
from pipelines.reading.plain import readable
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.raw import Raw
from pipelines.reading.records import Record, Reject, broken, document, document_id
from pipelines.streams import BrokenStreamError

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_HTML_BEGINS = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)", re.I | re.S
)
_OK = 200


class _Captured(NamedTuple):
    """A parsed record, where it stands, and what of its headers is kept with the document."""

    file: SourceFile
    position: str
    record: WarcRecord
    content: bytes
    url: str | None
    metadata: dict[str, Any]
    reading: Reading


def read_warc(portion: Portion, reading: Reading) -> Iterator[Record | Raw]:
    """Yield one record a WARC record; its position is where it begins (see `warc_frames`)."""
    file = portion.file
    with opened(file) as stream:
        if file.bytes == 0 and file.uri.lower().endswith(".gz"):
            raise BrokenStreamError("a compressed file has at least a header", "0 bytes")
        for frame in warc_frames.frames(stream, reading.most_bytes, portion.start, portion.stop):
            if frame.is_damage:
                yield Reject(
                    document_id(file.name, frame.position), file.name, frame.position,
                    frame.fault, rule="broken_file",
                )  # fmt: skip
            elif frame.fault:
                yield broken(file, frame.position, frame.fault, readable(frame.content))
            else:
                yield Raw(file, frame.position, frame.content, _records)


def _records(raw: Raw, reading: Reading) -> Iterator[Record]:
    yield _record(raw, reading)


def _record(raw: Raw, reading: Reading) -> Record:
    try:
        record = WarcRecord.from_bytes(raw.content)
    except (OSError, ValueError) as error:
        return broken(raw.file, raw.position, f"no WARC record: {error}", readable(raw.content))
    url = record.headers.get("WARC-Target-URI")
    captured = _Captured(
        raw.file, raw.position, record, raw.content, url.strip("<> ") if url else None,
        _kept_headers(record), reading,
    )  # fmt: skip
    return HANDLERS.get(_kind(record), _no_page)(captured)


def _kind(record: WarcRecord) -> str:
    return (record.headers.get("WARC-Type") or "").strip().lower()


def _kept_headers(record: WarcRecord) -> dict[str, Any]:
    found = {key: record.headers.get(header) for key, header in KEPT_HEADERS.items()}
    return {key: value for key, value in found.items() if value}


KEPT_HEADERS: Mapping[str, str] = {
    "warc_date": "WARC-Date",
    "warc_record_id": "WARC-Record-ID",
    "warc_truncated": "WARC-Truncated",
    "license": "X-License",
    "declared_language": "X-Language",
    "identified_language": "WARC-Identified-Content-Language",
}
"""Key of the document's metadata -> header of the record it comes from."""


def _reject(captured: _Captured, rule: str, error: str, **verdict: Any) -> Reject:
    where = captured.position
    name = captured.file.name
    return Reject(
        document_id(name, where), name, where, error, rule=rule, url=captured.url, **verdict
    )


def _no_page(captured: _Captured) -> Record:
    """Set a record aside that holds no page: a request, metadata, a revisit..."""
    kind = _kind(captured.record)
    rule = f"warc_{kind}" if kind in _WITHOUT_PAGE else "warc_unknown"
    return _reject(captured, rule, f"WARC-Type: {kind}")


def _response(captured: _Captured) -> Record:
    record = captured.record
    if not record.is_http:
        kind = record.headers.get("Content-Type") or "no type"
        return _reject(captured, "not_http", f"a response of {kind}")
    body = _body(captured)
    if isinstance(body, Reject):
        return body
    record = body.record
    status = record.http_headers.status_code if record.http_headers else None
    if status is None:
        return broken(
            captured.file, captured.position, "no HTTP status line",
            readable(captured.content),
        )  # fmt: skip
    if status != _OK:
        return _reject(
            captured, "http_status", f"HTTP status {status}", feature="http_status",
            value=float(status), limit=float(_OK),
        )  # fmt: skip
    kind = (record.http_content_type or "").lower()
    if kind not in HTML_TYPES and (kind or not _HTML_BEGINS.match(body.content)):
        return _reject(captured, "not_html", f"content of type {kind or 'unknown'}")
    robots = ", ".join(record.http_headers.get_multiple("X-Robots-Tag"))
    language = record.http_headers.get("Content-Language")
    metadata = {
        **({"robots": robots} if robots else {}),
        **({"declared_language": language} if language else {}),
        **({"cut_short": "gzip"} if body.is_cut else {}),
        **captured.metadata,
    }
    return page_record(
        RawPage(
            captured.file,
            captured.position,
            body.content,
            record.http_charset,
            captured.url,
            metadata,
        ),
        captured.reading,
    )


class _Body(NamedTuple):
    record: WarcRecord
    content: bytes
    is_cut: bool = False
    """Its compression ends early: what is lost after `content` nobody can tell."""


def _body(captured: _Captured) -> _Body | Reject:
    """Return the payload with its transfer and content encodings undone.

    Archives keep `Content-Encoding` over bodies they have already decoded: what does not decode is
    taken as it is, unless it shows that it is compressed.
    """
    most = captured.reading.most_bytes
    faults = []
    for decode in ("all", "none"):
        record = WarcRecord.from_bytes(captured.content)
        try:
            record.parse_http(auto_decode=decode)
            content = record.reader.read(most + 1)
        except (OSError, ValueError) as error:
            faults.append(str(error))
            continue
        if len(content) > most:
            faults.append(f"the body is longer than {most:,} bytes when it is decompressed")
            break
        if not content.startswith(warc_frames.MAGIC):
            return _Body(
                record, content, decode == "all" and _ends_early(record, captured, content)
            )
        faults.append("the body is compressed in a way that its headers do not tell")
    return broken(captured.file, captured.position, faults[0], readable(captured.content))


def _ends_early(record: WarcRecord, captured: _Captured, content: bytes) -> bool:
    encoding = (record.http_headers.get("Content-Encoding") or "") if record.http_headers else ""
    if "gzip" not in encoding.lower():
        return False
    sent = WarcRecord.from_bytes(captured.content)
    sent.parse_http(auto_decode="transfer")
    body = sent.reader.read()
    if int.from_bytes(body[-4:], "little") == len(content):  # how gzip ends (RFC 1952, 2.3.1)
        return False
    while body.startswith(warc_frames.MAGIC):
        member = zlib.decompressobj(31)
        try:
            member.decompress(body)
        except zlib.error:
            return False  # archives keep the header over bodies that they have decoded
        if not member.eof:
            return True
        body = member.unused_data
    return False


def _resource(captured: _Captured) -> Record:
    """A resource record holds the page itself, without an HTTP response around it."""
    kind = (captured.record.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if kind not in HTML_TYPES:
        return _reject(captured, "not_html", f"a resource of type {kind or 'unknown'}")
    content = captured.record.reader.read()
    return page_record(
        RawPage(captured.file, captured.position, content, None, captured.url, captured.metadata),
        captured.reading,
    )


def _conversion(captured: _Captured) -> Record:
    """A conversion record of a WET file is the text of a page."""
    content = captured.record.reader.read()
    kind = (captured.record.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if kind != "text/plain":
        return _reject(captured, "not_text", f"a conversion to {kind or 'unknown'}")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return broken(captured.file, captured.position, f"not UTF-8: {error}", readable(content))
    return document(captured.file, captured.position, text, captured.url, captured.metadata)


_WITHOUT_PAGE = frozenset({"warcinfo", "request", "metadata", "revisit", "continuation"})

HANDLERS: Mapping[str, Callable[[_Captured], Record]] = {
    "response": _response,
    "resource": _resource,
    "conversion": _conversion,
}
"""Type of a WARC record -> what becomes of it; any other is set aside as `warc_<type>`."""
