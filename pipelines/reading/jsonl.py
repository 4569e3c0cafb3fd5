"""JSON lines: one record a line."""

import json
from collections.abc import Iterator
from pathlib import Path

from pipelines import streams
from pipelines.listed_files import SourceFile
from pipelines.reading.plain import readable
from pipelines.reading.records import Record, broken, from_fields


def read_jsonl(file: SourceFile, most_bytes: int) -> Iterator[Record]:
    """Yield one record a line that is not blank; its position is the line's number, from 1."""
    for number, line in enumerate(streams.lines(Path(file.uri), most_bytes), start=1):
        if line is None:
            yield broken(file, number, f"the line is longer than {most_bytes:,} bytes")
        elif line.strip():
            yield _record(file, number, line)


def _record(file: SourceFile, number: int, line: bytes) -> Record:
    try:
        fields = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        return broken(file, number, f"not UTF-8: {error}", readable(line))
    except (ValueError, RecursionError) as error:
        return broken(file, number, f"not JSON: {error}", readable(line))
    if not isinstance(fields, dict):
        return broken(file, number, "not a JSON object", readable(line))
    return from_fields(file, number, fields)
