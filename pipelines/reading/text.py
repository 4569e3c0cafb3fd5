"""A whole text file as one document."""

from collections.abc import Iterator
from pathlib import Path

from pipelines import streams
from pipelines.listed_files import SourceFile
from pipelines.reading.plain import readable
from pipelines.reading.records import Record, broken, document


def read_text(file: SourceFile, most_bytes: int) -> Iterator[Record]:
    """Yield the file as one record at position 0."""
    content = whole(file, most_bytes)
    if content is None:
        yield broken(file, 0, f"the text is longer than {most_bytes:,} bytes")
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield broken(file, 0, f"not UTF-8: {error}", readable(content))
        return
    yield document(file, 0, text, None, {})


def whole(file: SourceFile, most_bytes: int) -> bytes | None:
    """Return the bytes of a file, None where there are more than `most_bytes`."""
    held: list[bytes] = []
    size = 0
    for piece in streams.pieces(Path(file.uri)):
        size += len(piece)
        if size > most_bytes:
            return None
        held.append(piece)
    return b"".join(held)
