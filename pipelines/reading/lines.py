"""Text whose every line is a document, and the lines of any format that is read line by line."""

from collections.abc import Iterator

from pipelines import streams
from pipelines.reading.opening import opened
from pipelines.reading.plain import readable
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.records import Record, Reject, broken, document
from pipelines.streams import Line

_MARK = b"\xef\xbb\xbf"


def read_lines(portion: Portion, reading: Reading) -> Iterator[Record]:
    """Yield one document a line that is not blank; its position is where the line begins."""
    for line in lines_of(portion, reading):
        if isinstance(line, Reject):
            yield line
            continue
        content = line.content or b""
        try:
            text = content.decode().removesuffix("\r")
        except UnicodeDecodeError as error:
            yield broken(portion.file, line.offset, f"not UTF-8: {error}", readable(content))
            continue
        yield document(portion.file, line.offset, text, None, {})


def lines_of(portion: Portion, reading: Reading) -> Iterator[Line | Reject]:
    """Yield the lines of a portion that are not blank; a reject for one that is too long."""
    file = portion.file
    suffix = streams.suffix_of(file.uri)
    with opened(file) as stream:
        found = streams.lines(stream, suffix, reading.most_bytes, portion.start, portion.stop)
        for line in found:
            if line.content is None:
                fault = f"the line is longer than {reading.most_bytes:,} bytes"
                yield broken(file, line.offset, fault)
            elif line.content.strip():
                marked = line.offset == 0 and line.content.startswith(_MARK)
                yield Line(line.offset, line.content[len(_MARK) :]) if marked else line
