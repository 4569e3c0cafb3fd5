"""Rows that the libraries leave out without a word, because a file is damaged, are told of."""

import re
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.reading.records import Document
from tests.support.reading import broken, read_file, read_split, rules, texts

PAGE_VALUES = rb"\x15\x00\x15.\x15.,\x15(\x06)\x15\x00\x15\x06\x15\x06"
"""A page header: its type, its two sizes, its number of values."""


def two_groups(path: Path) -> bytes:
    pq.write_table(
        pa.table({"text": [f"text {at}" for at in range(6)]}), path, row_group_size=3,
        compression="none", use_dictionary=False, write_statistics=False, store_schema=False,
    )  # fmt: skip
    return path.read_bytes()


@pytest.mark.parametrize(("values", "left"), [(0, 0), (2, 1)])
def test_a_row_group_of_fewer_rows_than_the_footer_says_is_damage(
    tmp_path: Path, values: int, left: int
) -> None:
    path = tmp_path / "a.parquet"
    content = bytearray(two_groups(path))
    at = next(re.finditer(PAGE_VALUES, content)).start(1)
    content[at] = values  # one bit of a page header, and Arrow ends the group without a word
    path.write_bytes(content)
    found = read_file(path, broken_files="set_aside")
    assert texts(found) == [*[f"text {at}" for at in range(left)], "text 3", "text 4", "text 5"]
    assert "the row group ends before row 3" in broken(found[left]).error
    assert read_split(path, 1, broken_files="set_aside") == found


def test_a_footer_that_names_another_number_of_rows_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    content = two_groups(path)
    groups = b"\x19\x2c\x19"  # a list of two row groups follows the number of rows
    path.write_bytes(content.replace(b"\x16\x0c" + groups, b"\x16\x12" + groups))
    found = read_file(path, broken_files="set_aside")
    assert rules(found) == [""] * 6 + ["broken_file"]
    assert "the footer names 9 rows" in broken(found[-1]).error
    assert read_split(path, 1, broken_files="set_aside") == found


def test_what_follows_the_end_mark_of_a_stream_does_not_disappear(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    table = pa.table({"text": ["one", "two", "three"]})
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)
    path.write_bytes(path.read_bytes() * 2)  # `cat a.arrow b.arrow`, which is no stream
    found = read_file(path, broken_files="set_aside")
    assert texts(found) == ["one", "two", "three"]
    assert "bytes follow the end mark" in broken(found[-1]).error


@pytest.mark.parametrize("named", [0, 1])
def test_batches_that_the_footer_does_not_name_do_not_disappear(tmp_path: Path, named: int) -> None:
    path = tmp_path / "a.arrow"
    table = pa.table({"text": ["one", "two", "three"], "n": pa.array("aba").dictionary_encode()})
    with pa.ipc.new_file(path, table.schema) as writer:
        for _ in range(3):
            writer.write_table(table)
    content = bytearray(path.read_bytes())
    assert len(texts(read_file(path))) == 9
    (size,) = struct.unpack_from("<I", content, len(content) - 10)
    footer = len(content) - 10 - size
    count = content.index(struct.pack("<I", 3), footer)
    content[count : count + 4] = struct.pack("<I", named)
    path.write_bytes(content)
    (found,) = read_file(path, broken_files="set_aside")
    assert not isinstance(found, Document)
    assert "names no batch behind" in broken(found).error
