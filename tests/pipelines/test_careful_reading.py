"""A file that crashes the library which reads it costs itself, or its part from there on."""

import ctypes
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.bisection import QUARANTINED
from pipelines.deaths import CAREFUL_AFTER, MOST, CrashError, InChild, Watched
from pipelines.errors import InputError, WorkerError
from pipelines.executors import OnRay
from pipelines.extract import ExtractConfig, ExtractUnit, ExtractWorker
from pipelines.reading.apart import CutApart, Cutter, Step
from pipelines.reading.portion import AS_USUAL, Portion
from pipelines.reading.raw import Raw
from pipelines.reading.readers import read
from pipelines.reading.records import Document, Record
from pipelines.reading.splitting import Piece, pieces_of
from pipelines.shards import ShardRecord, read_table
from pipelines.workspace import Resources, Stop
from tests.support.deep_parquet import deep_parquet
from tests.support.documents import prose
from tests.support.fragile import POISON, on_ray
from tests.support.reading import broken, listed, response, rules, texts, warc_gz

SEGFAULT = "the process that worked on it died of SIGSEGV"


def unit_with_a_deep_file(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    pq.write_table(pa.table({"text": [prose(1), prose(2)]}), folder / "a.parquet")
    (folder / "deep.parquet").write_bytes(deep_parquet())
    (folder / "z.jsonl").write_text(json.dumps({"text": prose(3)}))
    portions = [Portion(file=listed(path)) for path in sorted(folder.iterdir())]
    return ExtractUnit(shard="00000", portions=tuple(portions)).model_dump()


def watched(out: Path, **config: object) -> Callable[[], Watched]:
    worker = partial(ExtractWorker, str(out), "one", "text", ExtractConfig.model_validate(config))
    return partial(Watched, worker, out, "one")


def on_ray_workers(factory: Callable[[], Watched], unit: dict[str, Any]) -> list[ShardRecord]:
    return OnRay().map_units(factory, [unit], Resources(workers=1), lambda record: None, Stop())


@on_ray
def test_a_file_that_crashes_arrow_costs_itself_alone(tmp_path: Path) -> None:
    unit = unit_with_a_deep_file(tmp_path / "in")
    (found,) = on_ray_workers(watched(tmp_path / "out", broken_files="set_aside"), unit)
    tables = {entry.role: read_table(tmp_path / "out" / entry.path) for entry in found.files}
    assert tables["data"]["text"].to_pylist() == [prose(1), prose(2), prose(3)]
    (row,) = tables["rejects"].to_pylist()
    assert (row["source"], row["rule"], row["stage"]) == ("deep.parquet", "broken_file", "text")
    assert SEGFAULT in json.loads(row["metadata"])["error"]
    assert found.ledger.balance("here").dropped["broken_file"].rows == 1


@on_ray
def test_a_file_that_crashes_arrow_stops_the_stage_by_its_name(tmp_path: Path) -> None:
    unit = unit_with_a_deep_file(tmp_path / "in")
    with pytest.raises(
        InputError, match=rf"deep.parquet: the file is broken: {SEGFAULT}.*set_aside"
    ):
        on_ray_workers(watched(tmp_path / "out"), unit)
    assert not list((tmp_path / "out" / "_begun").iterdir())


def test_files_of_a_unit_that_only_kills_are_named(tmp_path: Path) -> None:
    unit = unit_with_a_deep_file(tmp_path / "in")
    (tmp_path / "_begun").mkdir()
    for number in range(MOST):
        (tmp_path / "_begun" / f"00000.one.{number}").touch()
    with pytest.raises(WorkerError, match=r"a.parquet, .*deep.parquet, .*z.jsonl\)"):
        watched(tmp_path)()(unit)


class FragileCutter(Cutter):
    """Cuts as ever; the records of a piece end where the next one holds `POISON`: so does it."""

    def __call__(self, step: Step) -> list[Record | Raw]:
        found = super().__call__(step)
        if any(POISON in (r.text if isinstance(r, Document) else str(r)) for r in found):
            ctypes.string_at(0)
        return found


@pytest.fixture(scope="module")
def cut() -> Iterator[CutApart]:
    with (
        InChild[Portion, list[Piece]](partial(partial, pieces_of)) as pieces,
        InChild[Step, list[Record | Raw]](partial(FragileCutter, AS_USUAL)) as cutter,
    ):
        yield CutApart(pieces, cutter)


def rows_with_poison(at: int | None) -> list[str]:
    return [POISON if number == at else f"text {number}" for number in range(1200)]


def write_rows(path: Path, values: list[str]) -> None:
    table = pa.table({"text": values})
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=400)
        return
    new = pa.ipc.new_file if path.stem == "file" else pa.ipc.new_stream
    with new(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=400)


SET_ASIDE = AS_USUAL.model_copy(update={"broken_files": "set_aside"})


@pytest.mark.parametrize(
    ("name", "lost", "place"),
    [
        ("a.parquet", range(700, 800), "group 1"),
        ("file.arrow", range(700, 800), "batch 1"),
        ("stream.arrow", range(700, 1200), "the portion at 0"),
    ],
)
def test_what_is_not_of_the_part_that_crashes_is_read(
    tmp_path: Path, cut: CutApart, name: str, lost: range, place: str
) -> None:
    write_rows(tmp_path / name, rows_with_poison(None))
    portion = Portion(file=listed(tmp_path / name))
    whole = list(read(portion))
    assert list(read(portion, SET_ASIDE, cut=cut)) == whole
    write_rows(tmp_path / name, rows_with_poison(700))
    portion = Portion(file=listed(tmp_path / name))
    found = list(read(portion, SET_ASIDE, cut=cut))
    (mark,) = (record for record in found if not isinstance(record, Document))
    assert broken(mark).position == place
    of = "700" if name == "stream.arrow" else "300"
    assert broken(mark).error == f"{SEGFAULT}; it was readable up to record {of} of {place}"
    rest = [record for record in found if isinstance(record, Document)]
    assert rest == [record for number, record in enumerate(whole) if number not in lost]
    with pytest.raises(InputError, match=f"{name}: the file is broken: {SEGFAULT}"):
        list(read(portion, AS_USUAL, cut=cut))


def test_a_portion_is_read_apart_as_it_is_read_here(tmp_path: Path, cut: CutApart) -> None:
    (tmp_path / "a.warc.gz").write_bytes(warc_gz([response(b"<html><p>one</p></html>")] * 3)[:-9])
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "one"}\n{"text": \n' * 700)
    write_rows(tmp_path / "c.parquet", rows_with_poison(None))
    for path in sorted(tmp_path.iterdir()):
        file = listed(path)
        ends = (1, 2) if path.suffix == ".parquet" else (100, 5000)
        for start, stop in ((0, None), (0, ends[0]), ends, (ends[1], None)):
            portion = Portion(file=file, start=start, stop=stop)
            assert list(read(portion, SET_ASIDE, cut=cut)) == list(read(portion, SET_ASIDE))
    gone = Portion(file=listed(tmp_path / "b.jsonl"))
    (tmp_path / "b.jsonl").unlink()
    with pytest.raises(InputError, match="was listed and is gone"):
        list(read(gone, AS_USUAL, cut=cut))


def test_a_death_by_chance_loses_nothing(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.parquet", rows_with_poison(None))
    portion = Portion(file=listed(tmp_path / "a.parquet"))
    cutter, asked = Cutter(AS_USUAL), 0

    def once(step: Step) -> list[Record | Raw]:
        nonlocal asked
        asked += 1
        if asked == CAREFUL_AFTER:
            raise CrashError("died of a machine that went")
        return cutter(step)

    found = list(read(portion, AS_USUAL, cut=CutApart(pieces_of, once)))
    assert rules(found) == [""] * 1200
    assert texts(found) == rows_with_poison(None)
    assert QUARANTINED not in rules(found)
