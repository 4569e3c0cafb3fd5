"""A whole text file as one document."""

from collections.abc import Iterator

from pipelines import streams
from pipelines.listed_files import SourceFile
from pipelines.reading.opening import opened
from pipelines.reading.plain import readable
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.records import Record, broken, document


def read_text(portion: Portion, reading: Reading) -> Iterator[Record]:
    """Yield the file as one record at position 0."""
    file = portion.file
    content = whole(file, reading.most_bytes)
    if content is None:
        yield broken(file, 0, f"the text is longer than {reading.most_bytes:,} bytes")
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
    with opened(file) as stream:
        for piece in streams.pieces(stream, streams.suffix_of(file.uri)):
            size += len(piece)
            if size > most_bytes:
                return None
            held.append(piece)
    return b"".join(held)
