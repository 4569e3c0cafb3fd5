"""HTML pages as text: decoded, parsed once, main content only."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipelines.listed_files import SourceFile
from pipelines.reading.charsets import decoded
from pipelines.reading.html_text import EXTRACTORS, TooComplexError, parsed
from pipelines.reading.plain import readable
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.raw import Raw
from pipelines.reading.records import Record, broken, document
from pipelines.reading.text import whole

_MOST_UNREADABLE = 0.01
"""Share of characters that may be unreadable; a page with more is not in any encoding we know."""


def read_html(portion: Portion, reading: Reading) -> Iterator[Record | Raw]:
    """Yield the page as one record at position 0."""
    file = portion.file
    content = whole(file, reading.most_bytes)
    if content is None:
        yield broken(file, 0, f"the page is longer than {reading.most_bytes:,} bytes")
        return
    yield Raw(file, "0", content, _records)


def _records(raw: Raw, reading: Reading) -> Iterator[Record]:
    yield page_record(RawPage(raw.file, raw.position, raw.content, None, None, {}), reading)


class RawPage(NamedTuple):
    """A page as it came: its bytes, where they stand, and what its surroundings say of it."""

    file: SourceFile
    position: str
    body: bytes
    charset: str | None
    """What the HTTP header declares."""
    url: str | None
    metadata: Mapping[str, Any]
    """Wins over what the page says of itself; what both forbid robots adds up."""


def page_record(raw: RawPage, reading: Reading) -> Record:
    """Return the document of a page: its main text, and what it says of itself as metadata."""
    file, position, body = raw.file, raw.position, raw.body
    page = decoded(body, raw.charset)
    if page.unreadable > _MOST_UNREADABLE * len(page.text):
        fault = f"{page.unreadable:,} characters cannot be read as {page.charset}"
        return broken(file, position, fault, readable(body))
    try:
        tree = parsed(page.text)
    except TooComplexError as error:
        return broken(file, position, str(error), readable(body))
    text = EXTRACTORS[reading.extractor](page.text, tree)
    said: dict[str, Any] = {**tree.facts, "charset": page.charset}
    if page.unreadable:
        said["unreadable_characters"] = page.unreadable
    metadata = {**said, **raw.metadata}
    robots = [words["robots"] for words in (raw.metadata, said) if words.get("robots")]
    if robots:
        metadata["robots"] = ", ".join(robots)
    return document(file, position, text, raw.url, metadata)
