"""Read benchmark items from listed files: which file is which benchmark, which fields count.

A field is a path of keys; lists on the way are walked through: `data.paragraphs.context` of an
XQuAD file gives the item `1.data[0].paragraphs[0]` with the field `context`. `first+second` joins.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from filters.contamination import Item
from filters.errors import unknown
from pipelines import storage, streams
from pipelines.errors import InputError
from pipelines.listed_files import SourceFile
from pipelines.remote.copies import kept_copy
from pipelines.streams import BrokenStreamError

_MOST_BYTES = 256 << 20
_INDEX = re.compile(r"(.*\])(?:\.(.+))?$")


class BenchmarkFiles(BaseModel):
    """Which files of the listing are a benchmark, and what of them must not be learned."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    files: str
    """A pattern over the names in the listing, `*` also across folders."""
    fields: tuple[str, ...] = ()
    """Paths of keys in a record; a text file has none: each of its lines is an item."""
    id: str | None = None
    """The key that names an item; without one it is FILE:POSITION."""


@dataclass
class Benchmarks:
    """Everything that was read: the items, and how many records lack which field."""

    items: list[Item] = field(default_factory=list)
    records: Counter[str] = field(default_factory=Counter)
    lacking: dict[str, Counter[str]] = field(default_factory=dict)


def read_benchmarks(
    files: list[SourceFile], benchmarks: Mapping[str, BenchmarkFiles]
) -> Benchmarks:
    """Return the items of every benchmark.

    Raises:
        InputError: a file belongs to no or to two benchmarks, a pattern matches nothing, a file is
            empty, damaged or changed, an id stands twice, or no record of a file has a field.
    """
    found = Benchmarks()
    by_benchmark = _assigned(files, benchmarks)
    for name, config in benchmarks.items():
        seen: dict[str, str] = {}
        found.lacking[name] = Counter()
        for file in by_benchmark[name]:
            _read_file(found, name, config, file, seen)
    return found


def _assigned(
    files: list[SourceFile], benchmarks: Mapping[str, BenchmarkFiles]
) -> dict[str, list[SourceFile]]:
    found: dict[str, list[SourceFile]] = {name: [] for name in benchmarks}
    for file in files:
        names = [name for name, b in benchmarks.items() if fnmatchcase(file.name, b.files)]
        if len(names) != 1:
            patterns = ", ".join(f"{name}: {b.files}" for name, b in benchmarks.items())
            raise InputError(
                f"benchmarks: the listed file {file.name!r} belongs to "
                f"{' and '.join(names) or 'no benchmark'}; each file to exactly one of {patterns}. "
                "Change a pattern (`files`), or leave the file out of the source stage."
            )
        found[names[0]].append(file)
    for name, matched in found.items():
        if not matched:
            known = [file.name for file in files]
            raise InputError(
                f"benchmarks.{name}.files: {unknown('file', benchmarks[name].files, known)}"
            )
    return found


def _read_file(
    found: Benchmarks, name: str, config: BenchmarkFiles, file: SourceFile, seen: dict[str, str]
) -> None:
    count = 0
    had: Counter[str] = Counter()
    first: dict[str, Any] = {}
    fields = ("line",) if file.format == "text" else config.fields
    for position, record in _records(file):
        count += 1
        first = first or record
        where = f"{file.name}:{position}"
        item = where if config.id is None else str(record.get(config.id, ""))
        if not item:
            raise _no_field(name, file, str(config.id), record)
        if item in seen:
            raise InputError(
                f"benchmarks.{name}: the id {item!r} stands at {seen[item]} and at {where}; a hit "
                "could not be led back to its item. Name another `id`, or none (FILE:POSITION)."
            )
        seen[item] = where
        for field_ in fields:
            texts = list(_texts(record, field_))
            had[field_] += bool(texts)
            found.lacking[name][field_] += not texts
            for path, text in texts:
                found.items.append(_item(name, item, path, text))
    if not count:
        raise InputError(
            f"benchmarks.{name}: {file.uri} holds no item; an empty benchmark protects from "
            "nothing. Replace the file, or leave it out of the source stage."
        )
    found.records[name] += count
    for field_ in fields or ("",):
        if not had[field_]:
            raise _no_field(name, file, field_, first)


def _no_field(name: str, file: SourceFile, field_: str, record: Mapping[str, Any]) -> InputError:
    return InputError(
        f"benchmarks.{name}: {file.name} has no text under {field_ or 'no field at all'!r}: "
        f"{unknown('field', field_, record)}"
    )


def _item(benchmark: str, item: str, path: str, text: str) -> Item:
    """Return an item; what lies in a list of objects is an item of its own."""
    inner = _INDEX.match(path)
    if inner and inner[2]:
        return Item(benchmark, f"{item}.{inner[1]}", inner[2], text)
    return Item(benchmark, item, path, text)


def _texts(record: Mapping[str, Any], field_: str) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of what a field names; a joined one gives one text, or none."""
    parts = [list(_walk(record, part.strip().split("."), "")) for part in field_.split("+")]
    if len(parts) == 1:
        yield from parts[0]
    elif all(parts):
        yield field_, "\n".join(text for part in parts for _, text in part)


def _walk(value: Any, keys: list[str], path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for index, element in enumerate(value):
            yield from _walk(element, keys, f"{path}[{index}]")
    elif keys:
        if isinstance(value, Mapping) and keys[0] in value:
            yield from _walk(value[keys[0]], keys[1:], f"{path}.{keys[0]}".lstrip("."))
    elif isinstance(value, str | int | float) and str(value).strip():
        yield path, str(value).encode("utf-8", "replace").decode()


def _records(file: SourceFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the records of a file with their positions (lines from 1, rows and elements from 0)."""
    path = kept_copy(file)
    if not file.is_remote and (not path.is_file() or storage.hash_file(path) != file.xxh3_128):
        raise InputError(
            f"{file.uri}: the benchmark is gone or changed since it was listed. Run again: the "
            "plan will list what is there now."
        )
    try:
        if file.format == "parquet":
            yield from enumerate(pq.read_table(path, partitioning=None).to_pylist())
        elif file.format == "text":
            yield from ((n, {"line": line.decode()}) for n, line in _lines(path) if line.strip())
        elif file.format == "jsonl":
            yield from _json_records(file, path)
        else:
            raise InputError(
                f"{file.uri}: format {file.format!r} holds no benchmark items; allowed: jsonl, "
                "parquet, text"
            )
    except (BrokenStreamError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = (
            error.reason if isinstance(error, UnicodeDecodeError | BrokenStreamError) else error
        )
        raise InputError(
            f"{file.uri}: the benchmark file is damaged: {reason}. What it no longer holds could "
            "not be found in the corpus: replace it."
        ) from error


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as stream:
        lines = streams.lines(stream, streams.suffix_of(path.name), _MOST_BYTES)
        for number, line in enumerate(lines, start=1):
            if line.content is None:
                raise BrokenStreamError(f"longer than {_MOST_BYTES:,} bytes", f"line {number}")
            yield number, line.content


def _json_records(file: SourceFile, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    whole = _whole(path) if re.search(r"\.json(\.gz|\.zst)?$", file.name.lower()) else None
    if isinstance(whole, list):
        yield from ((n, _object(file, n, record)) for n, record in enumerate(whole))
        return
    if whole is not None:
        yield 1, _object(file, 1, whole)
        return
    for number, line in _lines(path):
        if line.strip():
            try:
                record = json.loads(line)
            except ValueError as error:
                raise _not_json(file, number, str(error)) from error
            yield number, _object(file, number, record)


def _whole(path: Path) -> Any:
    """Return a file that is one JSON value, None where it is lines (as C4 publishes .json.gz)."""
    try:
        with path.open("rb") as stream:
            return json.loads(b"".join(streams.pieces(stream, streams.suffix_of(path.name))))
    except ValueError:
        return None


def _object(file: SourceFile, position: int, record: Any) -> dict[str, Any]:
    if isinstance(record, dict):
        return record
    raise _not_json(file, position, f"a {type(record).__name__}, no object")


def _not_json(file: SourceFile, position: int, error: str) -> InputError:
    return InputError(
        f"{file.uri}: record {position} is no JSON object: {error}. An item that cannot be read "
        "cannot be found in the corpus: mend or replace the file."
    )
