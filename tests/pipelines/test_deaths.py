"""A document that crashes its process costs itself alone; a unit that only dies ends the stage."""

import ctypes
import json
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filters.quality import QualityClassifier
from pipelines import filter as filtering
from pipelines import schemas
from pipelines.bisection import MOST_QUARANTINED, QUARANTINED, apart
from pipelines.clean import CleanConfig, Cleaner
from pipelines.deaths import CAREFUL_AFTER, MOST, CrashError, InChild, Watched
from pipelines.decontaminate import DecontaminateConfig, Decontaminator
from pipelines.documents import Desk, DocumentsWorker, Judge, Judged
from pipelines.errors import InputError, WorkerError
from pipelines.executors import OnRay
from pipelines.extract import ExtractConfig, ExtractUnit, ExtractWorker
from pipelines.filter import FilterConfig, FilterWorker
from pipelines.judge import Apply
from pipelines.ledger import Count, Ledger
from pipelines.local_copies import Bundle
from pipelines.reading.portion import Portion
from pipelines.reading.raw import Parser, Raw
from pipelines.reading.records import Record
from pipelines.screen import Screen, ScreenConfig
from pipelines.shards import ShardRecord, read_table
from pipelines.workspace import Resources, Stop
from tests.support.documents import prose
from tests.support.reading import listed, response, warc_gz

POISON = "crash"


def on_ray(test: Callable[[Path], None]) -> Callable[[Path], None]:
    test = pytest.mark.filterwarnings("default")(test)  # Ray's own, in the driver
    return pytest.mark.ray(pytest.mark.slow(pytest.mark.usefixtures("ray_session")(test)))


def documents(*texts: str) -> pa.Table:
    table = pa.table({"doc_id": [f"d{at}" for at in range(len(texts))], "text": texts})
    return table.cast(pa.schema([schemas.DOCUMENT.field(name) for name in ("doc_id", "text")]))


class Fragile:
    """Counts documents; a text of `POISON` ends its process as a fault in a C library does."""

    def __call__(self, table: pa.Table) -> int:
        if POISON in table["text"].to_pylist():
            ctypes.string_at(0)  # a fault of this thread: nothing after it runs
        return int(table.num_rows)


class FragileWorker:
    """Keeps the ids of what was set aside as a metric each."""

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        return self._record(unit, [Fragile()(read_table(unit["path"]))], [])

    def carefully(self, unit: Mapping[str, Any]) -> ShardRecord:
        with InChild[pa.Table, int](Fragile) as judge:
            counts, failed = apart(read_table(unit["path"]), judge)
        return self._record(unit, counts, failed["doc_id"].to_pylist())

    def _record(self, unit: Mapping[str, Any], counts: list[int], failed: list[str]) -> ShardRecord:
        ledger = Ledger(entered=Count(rows=sum(counts)))
        return ShardRecord(
            shard=unit["shard"], files=(), ledger=ledger, metrics=dict.fromkeys(failed, 1.0)
        )


class FragileParser(Parser):
    """Parses as ever; a record that holds `POISON` ends its process."""

    def __call__(self, raw: Raw) -> list[Record]:
        if POISON.encode() in raw.content:
            ctypes.string_at(0)
        return super().__call__(raw)


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


class Stubborn:
    """A worker whose process dies on every unit, with no careful way."""

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def units(tmp_path: Path, *tables: pa.Table) -> list[dict[str, Any]]:
    found = []
    for number, table in enumerate(tables):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table, path)
        found.append({"shard": f"{number:05d}", "path": str(path), "bytes": table.nbytes})
    return found


@on_ray
def test_a_document_that_crashes_its_process_costs_itself_alone(tmp_path: Path) -> None:
    bad = documents(*[str(n) for n in range(5)], POISON, "6")
    todo = units(tmp_path, documents("a", "b"), bad, documents("c"))
    factory = partial(Watched, FragileWorker, tmp_path, "one")
    found = OnRay().map_units(factory, todo, Resources(workers=1), lambda record: None, Stop())
    by_shard = {record.shard: record for record in found}
    assert {shard: record.ledger.entered.rows for shard, record in by_shard.items()} == {
        "00000": 2, "00001": 6, "00002": 1,
    }  # fmt: skip
    assert by_shard["00001"].metrics == {"d5": 1.0}
    assert not list((tmp_path / "_begun").iterdir())


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
    assert {one["error"] for one in errors} == {"CrashError: the process that worked on it died"}
    assert [one["position"] for one in errors][:2] == ["0", "0"]
    assert int(errors[2]["position"]) > len(prose(1))
    assert int(errors[3]["position"]) > 0
    assert found.ledger.balance("here").dropped[QUARANTINED].rows == 4


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


@on_ray
def test_a_unit_that_only_kills_is_named(tmp_path: Path) -> None:
    factory = partial(Watched, Stubborn, tmp_path, "one")
    todo = units(tmp_path, documents("a"))
    with pytest.raises(WorkerError, match=r"5 worker processes died on unit 00000 \(.*0.parquet"):
        OnRay().map_units(factory, todo, Resources(workers=1), lambda record: None, Stop())


def test_an_error_is_no_death_and_another_attempt_counts_anew(tmp_path: Path) -> None:
    class Failing:
        def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
            raise ValueError("a wrong document")

    worker = Watched(Failing, tmp_path, "one")
    for _ in range(MOST + 1):
        with pytest.raises(ValueError, match="wrong document"):
            worker({"shard": "00000"})
    (tmp_path / "_begun").mkdir(exist_ok=True)
    for number in range(MOST):
        (tmp_path / "_begun" / f"00000.one.{number}").touch()
    with pytest.raises(WorkerError, match="run again"):
        worker({"shard": "00000"})
    with pytest.raises(ValueError, match="wrong document"):
        Watched(Failing, tmp_path, "two")({"shard": "00000"})


def test_a_filter_is_careful_with_the_same_result(tmp_path: Path) -> None:
    rows = [{"doc_id": f"d{n}", "text": prose(n)} for n in range(12)] + [
        {"doc_id": "short", "text": "too short"}
    ]
    table = pa.Table.from_pylist(rows, schema=schemas.DOCUMENT)
    (unit,) = units(tmp_path, table)
    found = {}
    for name in ("plain", "careful"):
        worker = FilterWorker(
            Desk(tmp_path / name, "one", "clean"), FilterConfig(rules=("gopher",))
        )
        found[name] = worker(unit) if name == "plain" else worker.carefully(unit)
    hashes = [[(f.role, f.rows, f.xxh3_128) for f in found[name].files] for name in found]
    assert hashes[0] == hashes[1]
    assert found["plain"].ledger == found["careful"].ledger
    assert QUARANTINED not in found["careful"].ledger.dropped


class FragileJudge:
    """Judges as a stage does; a text of `POISON` ends its process."""

    def __init__(self, factory: Callable[[], Judge]) -> None:
        self._judge = factory()

    def __call__(self, table: pa.Table) -> Judged:
        Fragile()(table)
        return self._judge(table)


def judges(folder: Path) -> dict[str, Callable[[], Judge]]:
    """The judges of five stages, each set so that it keeps, drops or edits something."""
    item = {"benchmark": "b", "item": "1", "field": "f", "text": prose(3)}
    pq.write_table(pa.Table.from_pylist([item]), folder / "items.parquet")
    config = DecontaminateConfig.model_validate({"benchmarks": {"b": {"files": "b"}}})
    screened = ScreenConfig(robots=("noai",))
    edits = {name: CleanConfig().edit(name) for name in CleanConfig().edits}
    texts = [prose(n) if n % 2 else f"{n} odd words" for n in range(40)]
    QualityClassifier.train(texts, [n % 2 for n in range(40)], quantile=0.5)[0].save(
        folder / "quality.bin"
    )
    learned = Bundle(((str(folder / "quality.bin"), ""),))
    return {
        "filter": partial(filtering.Judge, FilterConfig(rules=("gopher",))),
        "clean": partial(Cleaner, edits),
        "screen": partial(Screen, screened, {}),
        "decontaminate": partial(Decontaminator, str(folder / "items.parquet"), config),
        "judge": partial(Apply, learned, 0.5),
    }


@pytest.mark.parametrize("stage", ["filter", "clean", "screen", "decontaminate", "judge"])
def test_every_stage_of_documents_is_careful(tmp_path: Path, stage: str) -> None:
    rows = [
        {
            "doc_id": f"d{n}",
            "text": f"{prose(n)} Ask me@example.org, café." if n else "too short",
            "metadata": json.dumps({"robots": "noai"}) if n == 2 else None,
        }
        for n in range(11)
    ]
    bad = {"doc_id": "bad", "text": POISON}
    tables = [
        pa.Table.from_pylist(part, schema=schemas.DOCUMENT)
        for part in (rows, [*rows[:5], bad, *rows[5:]])
    ]
    clean, poisoned = units(tmp_path, *tables)
    poisoned["shard"] = clean["shard"]
    judge = judges(tmp_path)[stage]
    plain = DocumentsWorker(Desk(tmp_path / "plain", "one", stage), judge)(clean)
    desk = Desk(tmp_path / "careful", "one", stage)
    found = DocumentsWorker(desk, partial(FragileJudge, judge)).carefully(poisoned)
    files = [
        [(f.path, f.rows, f.xxh3_128) for f in record.files if f.role != "rejects"]
        for record in (plain, found)
    ]
    assert files[0] == files[1]
    dropped = dict(found.ledger.balance("here").dropped)
    assert dropped.pop(QUARANTINED) == Count(rows=1, bytes=len(POISON))
    assert dropped == plain.ledger.dropped
    assert dropped or stage == "clean"
    assert (found.ledger.edited, found.metrics) == (plain.ledger.edited, plain.metrics)
    (entry,) = (entry for entry in found.files if entry.role == "rejects")
    row = read_table(desk.root / entry.path).to_pylist()[-1]
    assert (row["doc_id"], row["rule"], row["stage"]) == ("bad", QUARANTINED, stage)
    assert row["error"] == "CrashError: the process that worked on it died"


@pytest.mark.parametrize("stage", ["filter", "clean", "screen", "decontaminate", "judge"])
def test_a_unit_of_nothing_but_crashes_is_set_aside_whole(tmp_path: Path, stage: str) -> None:
    bad = {"doc_id": "bad", "text": POISON}
    (unit,) = units(tmp_path, pa.Table.from_pylist([bad], schema=schemas.DOCUMENT))
    judge = partial(FragileJudge, judges(tmp_path)[stage])
    desk = Desk(tmp_path / "careful", "one", stage)
    found = DocumentsWorker(desk, judge).carefully(unit)
    assert found.ledger.balance("here").dropped == {QUARANTINED: Count(rows=1, bytes=len(POISON))}
    tables = {entry.role: read_table(desk.root / entry.path) for entry in found.files}
    assert tables["rejects"]["doc_id"].to_pylist() == ["bad"]
    assert (tables["data"].num_rows, any(found.metrics.values())) == (0, False)
    assert tables["data"].schema.names[: len(schemas.DOCUMENT)] == schemas.DOCUMENT.names


def test_a_dead_process_is_said_and_replaced() -> None:
    with InChild[pa.Table, int](Fragile) as judge:
        assert judge(documents("a", "b")) == 2
        with pytest.raises(CrashError, match="died"):
            judge(documents(POISON))
        assert judge(documents("a")) == 1
    assert CAREFUL_AFTER < MOST
