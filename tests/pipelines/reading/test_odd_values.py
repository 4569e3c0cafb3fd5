"""Values that a library dies of or raises an odd error for cost their row, or their batch."""

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.bisection import MOST_QUARANTINED
from pipelines.reading.plain import as_json
from tests.support.reading import broken, read_file, read_split, texts

NOT_UTF8, OUT_OF_BOUNDS = (0, 1, 2, 3), (0, 1, 1 << 30, 3)


def strings(offsets: tuple[int, ...]) -> pa.Array:
    """Three strings as a file may hold them, none of it checked; the first is no UTF-8."""
    places = pa.array(offsets, pa.int32()).buffers()[1]
    return pa.StringArray.from_buffers(3, places, pa.py_buffer(b"\xffbc"))


def write_stream(path: Path, columns: dict[str, pa.Array]) -> Path:
    table = pa.table({"text": ["one", "two", "three"], **columns})
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)
    return path


NESTED: dict[str, Callable[[pa.Array], pa.Array]] = {
    "struct": lambda odd: pa.StructArray.from_arrays([strings(NOT_UTF8), odd], ["a", "b"]),
    "map": lambda odd: pa.MapArray.from_arrays(pa.array([0, 1, 2, 3]), strings(NOT_UTF8), odd),
    "list": lambda odd: pa.ListArray.from_arrays(pa.array([0, 1, 2, 3]), NESTED["struct"](odd)),
    "large_list": lambda odd: pa.LargeListArray.from_arrays(
        pa.array([0, 1, 2, 3], pa.int64()), NESTED["struct"](odd)
    ),
    "dictionary": lambda odd: pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 2 if odd is WHOLE else 9]), strings(NOT_UTF8), safe=False
    ),
}
WHOLE = pa.array(["x", "y", "z"])


@pytest.mark.parametrize("kind", NESTED)
def test_text_that_is_not_utf_8_costs_its_row_also_within_values(tmp_path: Path, kind: str) -> None:
    column = NESTED[kind](WHOLE)
    found = read_file(write_stream(tmp_path / "a.arrow", {"odd": column}))
    assert texts(found) == ["two", "three"]
    assert "not UTF-8" in broken(found[0]).error


@pytest.mark.parametrize("kind", NESTED)
def test_text_that_is_not_utf_8_hides_no_value_out_of_bounds(tmp_path: Path, kind: str) -> None:
    column = NESTED[kind](strings(OUT_OF_BOUNDS))  # to look at it would be a segmentation fault
    path = write_stream(tmp_path / "a.arrow", {"odd": column})
    (found,) = read_file(path, broken_files="set_aside")
    assert broken(found).rule == "broken_file"


@pytest.mark.parametrize("format_", ["arrow", "parquet"])
def test_a_time_zone_that_nobody_knows_breaks_rows_and_no_job(tmp_path: Path, format_: str) -> None:
    times = pa.array([None, 1, 2], pa.timestamp("us", "Europe/Berlim"))
    path = write_stream(tmp_path / "a.arrow", {"at": times})
    if format_ == "parquet":
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"text": ["one", "two", "three"], "at": times}), path)
    found = read_file(path)
    assert texts(found) == ["one"]
    assert all("Europe/Berlim" in broken(record).error for record in found[1:])


def test_a_column_whose_name_is_no_text_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["one"], "name": [1]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"name", b"n\xffme"))
    (found,) = read_file(path, broken_files="set_aside")
    assert "UnicodeDecodeError" in broken(found).error
    assert read_split(path, 1, broken_files="set_aside") == [found]


def nested(levels: int, values: list[int]) -> pa.Array:
    found = pa.array(values)
    for _ in range(levels):
        found = pa.StructArray.from_arrays([found], ["a"])
    return found


def test_values_that_are_nested_too_deeply_break_rows_and_no_job(tmp_path: Path) -> None:
    table = pa.table({"text": ["one", "two"], "deep": nested(2000, [1, 2])})
    pq.write_table(table, tmp_path / "a.parquet", store_schema=False)
    pq.write_table(table.drop_columns("text"), tmp_path / "b.parquet", store_schema=False)
    rows, fields = (read_file(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert [broken(record).text for record in rows] == ["one", "two"]
    assert all("nested too deeply" in broken(record).error for record in rows)
    assert {broken(record).text for record in fields} == {"a dict, nested too deeply to be shown"}


def test_deep_values_are_kept_line_by_line_as_far_as_they_are_read(tmp_path: Path) -> None:
    deep = "[" * 700 + "]" * 700
    lines = f'{{"text": "one", "deep": {deep}}}\n' * (MOST_QUARANTINED + 1)
    (tmp_path / "a.jsonl").write_text(lines)
    assert texts(read_file(tmp_path / "a.jsonl")) == ["one"] * (MOST_QUARANTINED + 1)


ODD = [float("nan"), b"\xff", Decimal("1.50"), (1, None), {"k": float("inf")}, "\ud800", date.min]


@pytest.mark.parametrize("nan", [[], [float("-inf")]])
def test_values_that_json_does_not_know_are_kept_the_same_way(nan: list[float]) -> None:
    assert json.loads(as_json({"n": nan, "v": ODD[1:4]})) == {
        "n": ["-inf"] * len(nan), "v": [{"base64": "/w=="}, "1.50", [1, None]],
    }  # fmt: skip
    assert as_json(ODD) == (
        '["nan", {"base64": "/w=="}, "1.50", [1, null], {"k": "inf"}, "\\ud800", "0001-01-01"]'
    )
