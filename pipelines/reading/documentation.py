"""Documentation of installed packages: docstrings, descriptions, the language reference."""

from collections.abc import Iterator

from pipelines import docstrings
from pipelines.docstrings import Passage
from pipelines.listed_files import SourceFile
from pipelines.reading.plain import readable
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.raw import Raw
from pipelines.reading.records import Record, broken, document
from pipelines.reading.text import whole


def read_documentation(portion: Portion, reading: Reading) -> Iterator[Record | Raw]:
    """Yield the passages of a file; a position is an object and its line, or a topic."""
    file = portion.file
    content = whole(file, reading.most_bytes)
    if content is None:
        yield broken(file, 0, f"the file is longer than {reading.most_bytes:,} bytes")
        return
    yield Raw(file, "0", content, _records)


def _records(raw: Raw, _reading: Reading) -> Iterator[Record]:
    try:
        for passage in _passages(raw.file, raw.content):
            yield document(raw.file, passage.position, passage.text, None, passage.metadata)
    except ValueError as error:
        yield broken(raw.file, raw.position, str(error), readable(raw.content))


def _passages(file: SourceFile, content: bytes) -> Iterator[Passage]:
    if file.format == "python_docs":
        yield from docstrings.docstrings(content, docstrings.module_name(file.name))
    elif file.format == "pydoc_topics":
        yield from docstrings.topics(content)
    else:
        yield docstrings.description(content)
