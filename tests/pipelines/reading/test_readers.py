"""Readers are strict, lose nothing, survive damage, and hold one record in memory."""

import gzip
import json
import tracemalloc
from datetime import datetime
from io import BytesIO
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import streams
from pipelines.errors import InputError
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.readers import read
from pipelines.reading.records import Document, Record, Reject, document_id
from tests.support.reading import Read, broken, listed, read_file, texts


@pytest.fixture
def read_bytes(tmp_path: Path) -> Read:
    def read_it(name: str, content: bytes, **options: object) -> list[Record]:
        (tmp_path / name).write_bytes(content)
        return read_file(tmp_path / name, **options)

    return read_it


def _document(record: Record) -> Document:
    assert isinstance(record, Document), record
    return record


def _jsonl(*rows: object) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


MANY = _jsonl(*({"text": f"text {number} " + "é" * 60} for number in range(3000)))


def test_fields_map_and_the_rest_stays_in_the_metadata(read_bytes: Read) -> None:
    row = {"id": 7, "text": "été", "url": "https://a.b", "lang": "fr", "meta": {"x": [1, None]}}
    document = _document(read_bytes("a.jsonl", _jsonl(row))[0])
    assert document.doc_id == document_id("a.jsonl", "0")
    assert (document.text, document.url, document.source) == ("été", "https://a.b", "a.jsonl")
    assert json.loads(document.metadata or "") == {"id": 7, "lang": "fr", "meta": {"x": [1, None]}}


@pytest.mark.parametrize(
    ("row", "text", "url", "metadata"),
    [
        ({"text": "a"}, "a", None, None),
        ({"content": "a"}, "a", None, None),
        ({"text": None, "content": "a"}, "a", None, {"text": None}),
        ({"text": "a", "content": "b"}, "a", None, {"content": "b"}),
        ({"text": "a", "url": 5}, "a", None, {"url": 5}),
        ({"text": "", "url": None}, "", None, None),
        ({"text": "a", "n": float("nan")}, "a", None, {"n": "nan"}),
    ],
)
def test_which_field_is_the_text(
    read_bytes: Read, row: object, text: str, url: str | None, metadata: object
) -> None:
    document = _document(read_bytes("a.jsonl", _jsonl(row))[0])
    assert (document.text, document.url) == (text, url)
    assert (json.loads(document.metadata) if document.metadata else None) == metadata


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"body": "x"}', "no `text` and no `content`; found body"),
        (b"{}", "found no field"),
        (b'{"text": null}', "no `text`"),
        (b'{"text": ["x"]}', "`text` is of type list, no string"),
        (b'{"text": "a\\u0000b"}', "a NUL character at 1"),
        (b'{"text": "a\\ud800"}', "half of a surrogate pair at 1"),
        (b'{"text": "a", "url": "\\udfff"}', "half of a surrogate pair at 0"),
        (b'{"text": "caf\xe9"}', "not UTF-8"),
        ("{'text': 'a'}".encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b'{"text": "x", "n": ' + b"1" * 5000 + b"}", "not JSON"),
    ],
    ids=range(14),
)
def test_a_broken_line_is_set_aside_and_its_neighbours_are_read(
    read_bytes: Read, line: bytes, error: str
) -> None:
    before, bad, after = read_bytes(
        "a.jsonl", _jsonl({"text": "before"}) + line + b"\n" + _jsonl({"text": "after"})
    )
    assert texts([before, after]) == ["before", "after"]
    assert _document(after).doc_id == document_id("a.jsonl", str(19 + len(line) + 1))
    assert error in broken(bad).error
    assert broken(bad).rule == "broken_record"
    assert broken(bad).position == "19"
    assert len(broken(bad).text) <= 8000
    (broken(bad).error + broken(bad).text).encode()  # can be stored


def test_bytes_that_are_no_text_are_shown_as_escapes(read_bytes: Read) -> None:
    assert broken(read_bytes("a.jsonl", b'{"text": "caf\xe9\0"}')[0]).text == (
        '{"text": "caf\\xe9\\x00"}'
    )


@pytest.mark.parametrize(
    "content", [b'{"text": "a"}', b'\xef\xbb\xbf{"text": "a"}\r\n', b'\n\n  \n{"text": "a"}\n\n']
)
def test_a_mark_blank_lines_and_a_missing_line_feed_are_no_errors(
    read_bytes: Read, content: bytes
) -> None:
    assert texts(read_bytes("a.jsonl", content)) == ["a"]


COMPRESSED = {
    ".jsonl": lambda content: content,
    ".jsonl.gz": gzip.compress,
    ".jsonl.zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@pytest.mark.parametrize("extension", COMPRESSED)
def test_compressed_lines_are_the_same_lines_also_in_several_members(
    read_bytes: Read, extension: str
) -> None:
    pack = COMPRESSED[extension]
    half = MANY.index(b"\n", len(MANY) // 2) + 1
    plain = read_bytes("a.jsonl", MANY)
    members = pack(MANY[:half]) + pack(MANY[half:])
    assert texts(read_bytes("a" + extension, members)) == texts(plain)
    assert len(texts(plain)) == 3000


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=30),
    st.integers(1, 12),
    st.integers(0, 40),
)
def test_lines_are_the_lines_of_the_file_whatever_the_pieces(
    expected: list[bytes], piece: int, most: int
) -> None:
    content = b"".join(line + b"\n" for line in expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "PIECE", piece)
        found = list(streams.lines(BytesIO(content), "", most))
    assert [line.content for line in found] == [
        line if len(line) <= most else None for line in expected
    ]
    offsets = accumulate((len(line) + 1 for line in expected), initial=0)
    assert [line.offset for line in found] == list(offsets)[:-1]


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def _parquet(texts: list[str], path: Path, **options: object) -> bytes:
    pq.write_table(pa.table({"text": texts}), path, **options)
    return path.read_bytes()


def _damaged(kind: str, scratch: Path) -> tuple[str, bytes]:
    """Return the name and the bytes of a file that breaks off in its own way."""
    rows = [json.loads(line)["text"] for line in MANY.splitlines()]
    gz, zst = gzip.compress(MANY), COMPRESSED[".jsonl.zst"](MANY)
    parquet = _parquet(rows, scratch, row_group_size=1000, write_page_checksum=True)
    first_group_end = pq.ParquetFile(scratch).metadata.row_group(1).column(0).dictionary_page_offset
    cases = {
        "gz cut": ("a.jsonl.gz", gz[:-20]),
        "gz without its checksum": ("a.jsonl.gz", gz[:-4]),
        "gz with a wrong checksum": ("a.jsonl.gz", _flipped(gz, len(gz) - 6)),
        "gz with something behind": ("a.jsonl.gz", gz + b"garbage"),
        "gz of 0 bytes": ("a.jsonl.gz", b""),
        "gz that is none": ("a.jsonl.gz", MANY),
        "zst cut": ("a.jsonl.zst", zst[:-20]),
        "zst with a bad frame": ("a.jsonl.zst", zst + b"\x28\xb5\x2f\xfd" + b"\xff" * 30),
        "zst with a wrong checksum": ("a.jsonl.zst", _flipped(zst, len(zst) - 2)),
        "zst of 0 bytes": ("a.txt.zst", b""),
        "parquet cut": ("a.parquet", parquet[:-20]),
        "parquet of 0 bytes": ("a.parquet", b""),
        "parquet that is none": ("a.parquet", MANY),
        "parquet with a bad page": ("a.parquet", _flipped(parquet, first_group_end + 60)),
    }
    return cases[kind]


DAMAGES = {
    "gz cut": 2900,
    "gz without its checksum": 3000,
    "gz with a wrong checksum": 3000,
    "gz with something behind": 3000,
    "gz of 0 bytes": 0,
    "gz that is none": 0,
    "zst cut": 1500,
    "zst with a bad frame": 3000,
    "zst with a wrong checksum": 1500,
    "zst of 0 bytes": 0,
    "parquet cut": 0,
    "parquet of 0 bytes": 0,
    "parquet that is none": 0,
    "parquet with a bad page": 2000,
}
"""Damage -> how many of the 3,000 documents before it are readable at least."""


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_stops_with_its_name_and_the_way_out(
    read_bytes: Read, tmp_path: Path, kind: str
) -> None:
    name, content = _damaged(kind, tmp_path / "scratch")
    with pytest.raises(InputError, match=r"readable up to .* set_aside") as caught:
        read_bytes(name, content)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(("kind", "readable"), DAMAGES.items())
def test_a_damaged_file_set_aside_gives_what_is_readable_and_one_record(
    read_bytes: Read, tmp_path: Path, kind: str, readable: int
) -> None:
    name, content = _damaged(kind, tmp_path / "scratch")
    records = read_bytes(name, content, broken_files="set_aside")
    documents = [record for record in records if isinstance(record, Document)]
    (mark,) = (record for record in records if isinstance(record, Reject))
    assert mark.rule == "broken_file"
    position = "group 1" if kind == "parquet with a bad page" else "end"
    assert mark.doc_id == document_id(name, position)
    assert len(documents) >= readable
    whole = texts(read_bytes("whole.jsonl", MANY))
    if kind == "parquet with a bad page":  # the row group behind it is read
        whole = whole[:1000] + whole[2000:]
    assert texts(documents) == whole[: len(documents)]


def test_a_flipped_letter_in_a_parquet_page_is_noticed_by_its_checksum(
    read_bytes: Read, tmp_path: Path
) -> None:
    plain = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    content = _parquet(["abcdefgh"], tmp_path / "t", write_statistics=False, **plain)
    assert texts(read_bytes("a.parquet", content)) == ["abcdefgh"]
    with pytest.raises(InputError, match="checksum"):
        read_bytes("a.parquet", content.replace(b"abcdefgh", b"abcdEfgh"))


def test_no_line_of_a_bomb_is_held(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=9) as bomb:
        for _ in range(64):
            bomb.write(b" " * (1 << 20))
        bomb.write(b"\n" + _jsonl({"text": "still here"}))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    too_long, document = read(Portion(file=listed(path)), Reading(most_bytes=1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "longer than 1,048,576 bytes" in broken(too_long).error
    assert _document(document).text == "still here"
    assert peak < 4 << 20


def test_a_text_is_one_document_and_strictly_utf_8(read_bytes: Read) -> None:
    assert read_bytes("a.txt", "\ufeffété\r\n".encode()) == [
        Document(document_id("a.txt", "0"), "été\r\n", None, "a.txt", None)
    ]
    assert texts(read_bytes("b.md.gz", gzip.compress(b"one\ntwo\n"))) == ["one\ntwo\n"]
    assert texts(read_bytes("c.rst", b"")) == [""]
    assert "not UTF-8" in broken(read_bytes("d.txt", b"caf\xe9")[0]).error
    assert "NUL" in broken(read_bytes("e.txt", b"a\0")[0]).error
    assert "longer than 3" in broken(read_bytes("f.txt", b"abcd", most_bytes=3)[0]).error


def test_an_empty_jsonl_holds_no_record(read_bytes: Read) -> None:
    assert read_bytes("a.jsonl", b"") == []
    assert read_bytes("a.jsonl.gz", gzip.compress(b"")) == []


def test_parquet_rows_keep_every_column(read_bytes: Read, tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["x", "y"],
            "content": pa.array(["eins", None]).dictionary_encode(),
            "url": pa.array(["https://a", None], pa.large_string()),
            "when": [datetime(2020, 1, 2, 3), None],
            "raw": [b"\xff", b""],
            "labels": [[{"k": 0.5}], []],
        }
    )
    pq.write_table(table, tmp_path / "t")
    first, second = read_bytes("a.parquet", (tmp_path / "t").read_bytes())
    document = _document(first)
    assert (document.text, document.url) == ("eins", "https://a")
    assert document.doc_id == document_id("a.parquet", "0")
    assert json.loads(document.metadata or "") == {
        "id": "x",
        "when": "2020-01-02 03:00:00",
        "raw": {"base64": "/w=="},
        "labels": [{"k": 0.5}],
    }
    assert "no `text` and no `content`" in broken(second).error


def test_a_parquet_value_that_is_no_text_or_no_date_breaks_its_row_only(
    read_bytes: Read, tmp_path: Path
) -> None:
    offsets, data = pa.array([0, 1, 2, 3], pa.int32()).buffers()[1], pa.py_buffer(b"a\xffb")
    bad_texts = pa.StringArray.from_buffers(3, offsets, data)
    dates = pa.array([0, 0, 2**62], pa.timestamp("ms"))
    pq.write_table(pa.table({"text": bad_texts, "at": dates}), tmp_path / "t")
    good, bad_text, bad_date = read_bytes("a.parquet", (tmp_path / "t").read_bytes())
    assert texts([good]) == ["a"]
    assert "not UTF-8" in broken(bad_text).error
    assert "without a Python equivalent" in broken(bad_date).error


def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.parquet", "a.txt.gz"):
        (tmp_path / name).write_bytes(b"")
        file = listed(tmp_path / name)
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match="was listed and is gone"):
            list(read(Portion(file=file)))


def test_the_real_corpora_are_read_whole(shared_data: Path) -> None:
    path = shared_data / "corpus" / "text" / "en_sms_spam.shared.parquet"
    records = read_file(path)
    assert len(records) == pq.read_metadata(path).num_rows
    assert texts(records) == pq.read_table(path)["text"].to_pylist()
    assert len({record.doc_id for record in records}) == len(records)
    kept = json.loads(_document(records[0]).metadata or "")
    assert set(kept) == {"id", "source", "lang", "license", "meta"}
