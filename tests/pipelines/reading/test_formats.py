"""Arrow files, HTML files and split files: the same documents however they are stored and cut."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import InputError
from pipelines.reading.arrow_blocks import blocks_of
from pipelines.reading.portion import Portion
from pipelines.reading.readers import read
from pipelines.reading.records import Document
from pipelines.reading.splitting import portions_of
from pipelines.source import SourceConfig, survey
from tests.support.reading import broken, listed, read_file, read_split, rules, texts

TABLE = pa.table({"text": ["one", "two\u202e three", "e\u0301 ש"], "id": ["a", "a", "b"]})


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_arrow_files_and_streams_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.arrow"
    new = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with new(path, TABLE.schema) as writer:
        writer.write_table(TABLE)
    found = read_file(path)
    assert texts(found) == TABLE["text"].to_pylist()
    ids = [json.loads(r.metadata or "")["id"] for r in found if isinstance(r, Document)]
    assert ids == ["a", "a", "b"], "duplicate ids of the input stay as metadata"
    assert len({r.doc_id for r in found}) == 3


def test_a_truncated_arrow_file_keeps_what_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    with pa.ipc.new_stream(path, TABLE.schema) as writer:
        for _ in range(3):
            writer.write_table(TABLE)
    path.write_bytes(path.read_bytes()[:-200])
    found = read_file(path, broken_files="set_aside")
    assert rules(found)[-1] == "broken_file"
    assert texts(found)[:3] == TABLE["text"].to_pylist()


def test_a_saved_hugging_face_dataset_is_a_folder_of_arrow_files(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the package `datasets` is not installed")
    folder = tmp_path / "saved"
    rows = {"text": [f"document {at}" for at in range(10)], "n": list(range(10))}
    dataset = datasets.Dataset.from_dict(rows).filter(lambda row: row["n"] != 4)
    dataset.save_to_disk(folder, num_shards=3)
    found = survey(SourceConfig(paths=(str(folder),)), tmp_path)
    records = [record for file in found.files for record in read(Portion(file=file))]
    assert texts(records) == [text for text in rows["text"] if text != "document 4"]
    assert {file.rule for file in found.dropped} == {"unknown_format"}, "its two .json files"


def test_mixed_schemas_keep_every_field(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"content": ["b"], "n": ["one"]}), tmp_path / "b.parquet")
    (tmp_path / "c.jsonl").write_text('{"text": "c", "n": {"deep": 1}}\n{"text": "d", "n": [2]}\n')
    files = survey(SourceConfig(paths=(str(tmp_path),)), tmp_path).files
    found = [record for file in files for record in read(Portion(file=file))]
    assert texts(found) == ["a", "b", "c", "d"]
    kept = [json.loads(r.metadata or "")["n"] for r in found if isinstance(r, Document)]
    assert kept == [1, "one", {"deep": 1}, [2]]


def test_an_html_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<html lang='de'><body><p>Ein Satz.</p><p>Noch ein Satz.</p></body></html>")
    (found,) = read_file(path)
    assert isinstance(found, Document)
    assert "Ein Satz." in found.text
    assert json.loads(found.metadata or "")["declared_language"] == "de"


def test_trafilatura_is_an_option(tmp_path: Path) -> None:
    pytest.importorskip("trafilatura", reason="the extra `trafilatura` is not installed")
    path = tmp_path / "a.html"
    body = "".join(f"<p>Paragraph number {at} tells a part of the story.</p>" for at in range(9))
    path.write_text(f"<html><body><article>{body}</article></body></html>")
    (found,) = read_file(path, extractor="trafilatura")
    assert isinstance(found, Document)
    assert "Paragraph number 3 tells" in found.text


LINES = st.lists(
    st.text(max_size=30).map(lambda text: json.dumps({"text": text}))
    | st.sampled_from(["", "{broken", '{"text": 3}']),
    max_size=30,
)


@settings(max_examples=40)
@given(LINES, st.integers(1, 200))
def test_cut_lines_are_the_same_documents(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], unit: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert read_split(path, unit) == read_file(path)


def test_cut_row_groups_are_the_same_documents(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"document {at}" * 40 for at in range(500)]})
    pq.write_table(table, path, row_group_size=50)
    whole = read_file(path)
    assert read_split(path, 2000) == whole
    assert len({record.doc_id for record in whole}) == 500


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_cut_batches_are_the_same_documents(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a.arrow"
    options = pa.ipc.IpcWriteOptions(compression=compression)
    sizes = [0, 1, 300, 7, 0, 90, 40]
    with pa.ipc.new_file(path, TABLE.schema, options=options) as writer:
        for number, rows in enumerate(sizes):
            texts_of = [f"document {number}.{at}" * 40 for at in range(rows)]
            writer.write_table(pa.table({"text": texts_of, "id": ["a"] * rows}))
    whole = read_file(path)
    assert len(whole) == len({record.doc_id for record in whole}) == sum(sizes)
    for unit in (1, 2_000, 20_000):
        assert read_split(path, unit) == whole
    with path.open("rb") as stream:
        blocks = blocks_of(stream)
    assert [block.rows for block in blocks if block.rows] == [rows for rows in sizes if rows]
    assert 0 < sum(block.bytes for block in blocks) < path.stat().st_size
    assert len(portions_of(listed(path), 1)) == len(blocks)


def test_a_damaged_batch_costs_its_own_rows_however_the_file_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(path, TABLE.schema, options=options) as writer:
        for number in range(4):
            writer.write_table(pa.table({"text": [f"{number} " + "x" * 500] * 3, "id": ["a"] * 3}))
    content, frame = bytearray(path.read_bytes()), b"\x28\xb5\x2f\xfd"
    hurt = content.index(frame, content.index(frame, len(content) // 2) + 1)
    content[hurt : hurt + 4] = b"none"
    path.write_bytes(content)
    found = read_file(path, broken_files="set_aside")
    assert rules(found).count("broken_file") == 1
    assert len(texts(found)) == 9
    assert read_split(path, 1, broken_files="set_aside") == found


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_damage_and_no_crash(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.arrow"
    new = data.draw(st.sampled_from([pa.ipc.new_file, pa.ipc.new_stream]))
    with new(path, TABLE.schema) as writer:
        writer.write_table(TABLE)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    found = read_file(path, broken_files="set_aside")
    assert read_split(path, 1, broken_files="set_aside") == found


def test_a_line_of_a_hundred_megabytes_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as handle:
        handle.write(b'{"text": "before"}\n{"text": "')
        for _ in range(100):
            handle.write(b"x" * 1_000_000)
        handle.write(b'"}\n{"text": "after"}\n')
    found = read_file(path)
    assert texts(found) == ["before", "after"]
    assert "longer than" in broken(found[1]).error


def test_a_stream_cut_between_batches_is_damage(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.arrow", tmp_path / "whole.arrow"
    for rows, target in ((1, path), (2, whole)):
        with pa.ipc.new_stream(target, TABLE.schema) as writer:
            for _ in range(rows):
                writer.write_table(TABLE)
    path.write_bytes(path.read_bytes()[:-8])  # without its end mark: what a copy cut there leaves
    found = read_file(path, broken_files="set_aside")
    assert texts(found) == TABLE["text"].to_pylist()
    assert "end mark" in broken(found[-1]).error
    assert len(read_file(whole)) == 6


@pytest.mark.parametrize("around", ["<script>{}</script>", "<style>{}</style>", "<!-- {} -->"])
def test_a_long_script_is_no_element_of_many_attributes(tmp_path: Path, around: str) -> None:
    path = tmp_path / "a.html"
    code = "if (a<b) " + "word " * 8000
    path.write_text(f"<html><body>{around.format(code)}<p>The text of the page.</p></body></html>")
    (found,) = read_file(path)
    assert isinstance(found, Document)
    assert "The text of the page." in found.text


def test_a_zstd_window_that_no_reader_should_hold_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    wide = zstandard.ZstdCompressionParameters(window_log=31, compression_level=1)
    packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    path.write_bytes(packer.compress(b'{"text": "one"}\n') + packer.flush())
    with pytest.raises(InputError, match=r"more than 128 MiB.* zstd -d --long=31"):
        read_file(path)
    (mark,) = read_file(path, broken_files="set_aside")
    assert broken(mark).rule == "broken_file"
