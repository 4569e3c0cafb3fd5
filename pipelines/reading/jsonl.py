"""JSON lines: one record a line."""

import json
from collections.abc import Iterator

from pipelines.listed_files import SourceFile
from pipelines.reading.lines import lines_of
from pipelines.reading.plain import readable
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.raw import Raw
from pipelines.reading.records import Record, broken, from_fields
from pipelines.streams import Line

_BLANKS = " \t\r"
_decoded = json.JSONDecoder().raw_decode
"""json.loads looks for blanks twice with a pattern, which takes a third of its time for a line."""


def read_jsonl(portion: Portion, reading: Reading) -> Iterator[Record | Raw]:
    """Yield one record a line that is not blank; its position is where the line begins."""
    for line in lines_of(portion, reading):
        if isinstance(line, Line):
            yield Raw(portion.file, str(line.offset), line.content or b"", _records)
        else:
            yield line


def _records(raw: Raw, _reading: Reading) -> Iterator[Record]:
    yield _record(raw.file, raw.position, raw.content)


def _record(file: SourceFile, offset: str, line: bytes) -> Record:
    try:
        text = line.decode().strip(_BLANKS)
        fields, end = _decoded(text)
    except UnicodeDecodeError as error:
        return broken(file, offset, f"not UTF-8: {error}", readable(line))
    except (ValueError, RecursionError) as error:
        return broken(file, offset, f"not JSON: {error}", readable(line))
    if end < len(text):
        return broken(file, offset, f"not JSON: more follows at character {end}", readable(line))
    if not isinstance(fields, dict):
        return broken(file, offset, "not a JSON object", readable(line))
    return from_fields(file, offset, fields)
