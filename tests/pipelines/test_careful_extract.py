"""A record that crashes its parser, or never ends, costs itself alone."""

import ctypes
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.bisection import MOST_QUARANTINED, QUARANTINED
from pipelines.deaths import Watched
from pipelines.errors import InputError
from pipelines.executors import OnRay
from pipelines.extract import ExtractConfig, ExtractUnit, ExtractWorker
from pipelines.ledger import Count
from pipelines.reading.plain import readable
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.raw import Parser, Raw
from pipelines.reading.records import Record
from pipelines.shards import ShardRecord
from pipelines.workspace import Resources, Stop
from tests.support.documents import prose
from tests.support.fragile import (
    DIED,
    ENDLESS,
    POISON,
    keep_busy,
    on_ray,
)
from tests.support.reading import listed, response, warc_gz


class FragileParser(Parser):
    """Parses as ever; `POISON` in a record ends its process."""

    def __call__(self, raw: Raw) -> list[Record]:
        if POISON.encode() in raw.content:
            ctypes.string_at(0)
        return super().__call__(raw)


def keep_parsing(raw: Raw, _: Reading) -> Iterator[Record]:
    keep_busy(readable(raw.content))
    yield from ()


class EndlessParser(Parser):
    """Parses as ever, for half a second at most; a record with `ENDLESS` has no end."""

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading, cpu_seconds=0.5)

    def __call__(self, raw: Raw) -> list[Record]:
        endless = ENDLESS.encode() in raw.content
        return super().__call__(raw._replace(records=keep_parsing) if endless else raw)


def page(number: int) -> bytes:
    return f"<html><body><p>{prose(number)}</p></body></html>".encode()


BAD_PAGE = f"<html><body><p>{POISON}</p></body></html>".encode()


def crawl(folder: Path, *, poisoned: bool) -> dict[str, Any]:
    """Write a unit of every format that is parsed record by record."""
    folder.mkdir()
    bad = [BAD_PAGE] if poisoned else []  # at the end of its file: others stay where they are
    lines = [json.dumps({"text": prose(n)}).encode() for n in (1, 2)]
    code = f'"""{POISON}"""\n'.encode()
    contents = {
        "a.html": page(3),
        **({"b.html": BAD_PAGE, "m/b.py": code} if poisoned else {}),
        "m/a.py": f'"""{prose(5)} {prose(6)}"""\n'.encode(),
        "lines.jsonl": b"\n".join([*lines, *[json.dumps(POISON).encode() for _ in bad]]),
        "pages.warc.gz": warc_gz(
            response(body, "Content-Type: text/html") for body in [page(7), page(8), *bad]
        ),
        "z.html": page(9),
    }
    portions = []
    for name, content in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        format_ = "python_docs" if name.endswith(".py") else None
        file = listed(folder / name, format_).model_copy(update={"name": name})
        portions.append(Portion(file=file))
    return ExtractUnit(shard="00000", portions=tuple(portions)).model_dump()


def data_of(record: ShardRecord) -> list[tuple[str, int, str]]:
    return [(f.shard, f.rows, f.xxh3_128) for f in record.files if f.role == "data"]


@on_ray
def test_a_record_that_crashes_its_parser_costs_itself_alone(tmp_path: Path) -> None:
    unit = crawl(tmp_path / "poisoned", poisoned=True)
    config = ExtractConfig(min_characters=10)
    fragile = partial(ExtractWorker, str(tmp_path / "out"), "one", "text", config, FragileParser)
    factory = partial(Watched, fragile, tmp_path / "out", "one")
    (found,) = OnRay().map_units(factory, [unit], Resources(workers=1), lambda record: None, Stop())
    plain = ExtractWorker(str(tmp_path / "plain"), "one", "text", config)
    expected = plain(crawl(tmp_path / "clean", poisoned=False))
    assert found.ledger.kept.rows == 7
    assert data_of(found) == data_of(expected)
    (entry,) = (entry for entry in found.files if entry.role == "rejects")
    rows = pq.read_table(tmp_path / "out" / entry.path, partitioning=None).to_pylist()
    told = [(row["source"], row["rule"], row["feature"], row["stage"]) for row in rows]
    assert told == [
        (name, QUARANTINED, "error", "text")
        for name in ("b.html", "m/b.py", "lines.jsonl", "pages.warc.gz")
    ]
    assert all(POISON in row["text"] for row in rows)
    errors = [json.loads(row["metadata"]) for row in rows]
    assert {one["error"] for one in errors} == {DIED}
    assert [one["position"] for one in errors][:2] == ["0", "0"]
    assert int(errors[2]["position"]) > len(prose(1))
    assert int(errors[3]["position"]) > 0
    assert found.ledger.balance("here").dropped[QUARANTINED].rows == 4


@on_ray
def test_a_record_that_keeps_its_parser_busy_costs_itself_alone(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text}) for text in (prose(1), ENDLESS, prose(2))]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines))
    unit = ExtractUnit(shard="00000", portions=(Portion(file=listed(tmp_path / "lines.jsonl")),))
    config = ExtractConfig(min_characters=10)
    endless = partial(ExtractWorker, str(tmp_path / "out"), "one", "text", config, EndlessParser)
    factory = partial(Watched, endless, tmp_path / "out", "one")
    (found,) = OnRay().map_units(
        factory, [unit.model_dump()], Resources(workers=1), lambda record: None, Stop()
    )
    assert found.ledger.kept.rows == 2
    assert found.ledger.dropped == {QUARANTINED: Count(rows=1, bytes=len(lines[1]))}
    (entry,) = (entry for entry in found.files if entry.role == "rejects")
    (row,) = pq.read_table(tmp_path / "out" / entry.path, partitioning=None).to_pylist()
    assert ENDLESS in row["text"]
    assert "SIGPROF, for it took more processor time" in json.loads(row["metadata"])["error"]


def test_a_parser_that_fails_on_all_is_not_blamed_on_records(tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_bytes(b'{"text": "a"}\n' * (MOST_QUARANTINED + 1))

    class Failing(Parser):
        def __call__(self, raw: Raw) -> list[Record]:
            raise OverflowError(raw.position)

    unit = ExtractUnit(shard="00000", portions=(Portion(file=listed(tmp_path / "lines.jsonl")),))
    worker = ExtractWorker(str(tmp_path / "out"), "one", "text", ExtractConfig(), Failing)
    with pytest.raises(OverflowError, match=str(14 * MOST_QUARANTINED)):
        worker(unit.model_dump())


def test_what_a_person_must_do_is_no_fault_of_a_record(tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_bytes(b'{"text": "a"}\n')

    class Lacking(Parser):
        def __call__(self, raw: Raw) -> list[Record]:
            raise InputError("pip install what is missing")

    unit = ExtractUnit(shard="00000", portions=(Portion(file=listed(tmp_path / "lines.jsonl")),))
    worker = ExtractWorker(str(tmp_path / "out"), "one", "text", ExtractConfig(), Lacking)
    with pytest.raises(InputError, match="pip install what is missing"):
        worker(unit.model_dump())
