"""What a reader yields: documents, and what is no document with the reason why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from pipelines.listed_files import SourceFile
from pipelines.reading.plain import as_json, readable, shown


@dataclass(frozen=True, slots=True)
class Document:
    """One document as the schema DOCUMENT has it; a reader knows no language yet."""

    doc_id: str
    text: str
    url: str | None
    source: str
    metadata: str | None


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that is no document, or the place where a file breaks off."""

    doc_id: str
    source: str
    position: str
    error: str
    text: str = ""
    """What was readable of it, cut to a size to look at."""
    rule: str = "broken_record"
    """Why: broken_record, broken_file, or what a record is instead of a document."""
    feature: str = "reader"
    value: float | None = None
    limit: float | None = None
    url: str | None = None


Record = Document | Reject


def document_id(source: str, position: str) -> str:
    """Return the stable id of a document: a hash of its file's name and its place in the file."""
    return xxhash.xxh3_128_hexdigest(f"{source}\0{position}".encode())


def from_fields(file: SourceFile, position: int | str, fields: dict[str, Any]) -> Record:
    """Return the document of a record; `text` comes first, then `content`."""
    key = "text" if fields.get("text") is not None else "content"
    if fields.get(key) is None:
        found = ", ".join(list(fields)[:10]) or "no field"
        return broken(file, position, f"no `text` and no `content`; found {found}", shown(fields))
    text = fields.pop(key)
    if not isinstance(text, str):
        kind = type(text).__name__
        return broken(file, position, f"`{key}` is of type {kind}, no string", shown(text))
    url = fields.pop("url", None) if isinstance(fields.get("url"), str | None) else None
    return document(file, position, text, url, fields)


def document(
    file: SourceFile, position: int | str, text: str, url: str | None, rest: Mapping[str, Any]
) -> Record:
    """Return a document, or a broken record where its text cannot be text."""
    where = str(position)
    for value in (text, url or ""):
        fault = _fault(value)
        if fault:
            return broken(file, where, fault, readable(value.encode("utf-8", "surrogatepass")))
    try:
        metadata = as_json(rest) if rest else None
    except RecursionError:
        fault = "its fields are nested too deeply to be kept"
        return broken(file, where, fault, readable(text.encode()))
    return Document(document_id(file.name, where), text, url, file.name, metadata)


def _fault(text: str) -> str:
    """Return what makes a string unusable as text, '' where nothing does."""
    if "\0" in text:
        return f"a NUL character at {text.index(chr(0))}"
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"half of a surrogate pair at {error.start}"
    return ""


def broken(file: SourceFile, position: int | str, error: str, text: str = "") -> Reject:
    """Return a record that cannot be a document; `text` is what was readable of it."""
    where = str(position)
    reason = readable(error.encode("utf-8", "surrogatepass"))
    return Reject(document_id(file.name, where), file.name, where, reason, text)


def damage(file: SourceFile, position: str, reason: str, reached: str) -> Reject:
    """Return the mark of a place where a file is damaged; what precedes it could be read."""
    error = f"{reason}; it was readable up to {reached}"
    return Reject(document_id(file.name, position), file.name, position, error, rule="broken_file")
