"""A sample comes from all over a source, is the same each time, and costs little of it."""

import gzip
import json
import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import InputError
from pipelines.preview import Sample, sample
from pipelines.reading.opening import opened
from pipelines.source import SourceConfig, listed_unhashed
from tests.support.reading import response, warc_gz


def _sample(*paths: Path, documents: int = 40) -> Sample:
    return sample(SourceConfig(paths=tuple(map(str, paths))), documents, Path())


def _numbers(found: Sample) -> list[int]:
    return [int(text.split()[0]) for text in found.documents["text"].to_pylist()]


def _line(number: int) -> bytes:
    return json.dumps({"text": f"{number:06d} some words of a document " * 12}).encode()


def _noise(number: int) -> str:
    """Return words that do not compress."""
    return " ".join(f"{random.Random(100 * number + k).getrandbits(200):x}" for k in range(12))


@pytest.fixture
def big(tmp_path: Path) -> Path:
    (tmp_path / "big.jsonl").write_bytes(b"\n".join(map(_line, range(12_000))))
    return tmp_path / "big.jsonl"


def test_places_are_spread_over_a_large_file_and_the_same_each_time(big: Path) -> None:
    found = _sample(big)
    numbers = _numbers(found)
    assert len(numbers) == 40
    assert min(numbers) < 1_000
    assert max(numbers) > 11_000
    assert len({number // 1_000 for number in numbers}) == 12
    assert _sample(big).documents == found.documents


def test_the_text_of_the_whole_is_told_from_slices(big: Path) -> None:
    found = _sample(big)
    truth = 12_000 * len(json.loads(_line(0))["text"])
    assert found.text_bytes == pytest.approx(truth, rel=0.03)
    assert found.read_text_bytes < truth


def test_row_groups_are_drawn_from_all_over(tmp_path: Path) -> None:
    texts = [f"{n:06d} {_noise(n)}" for n in range(4_000)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "p.parquet", row_group_size=100)
    found = _sample(tmp_path)
    assert len({number // 400 for number in _numbers(found)}) == 10
    truth = sum(map(len, texts))
    assert found.text_bytes == pytest.approx(truth, rel=0.1)


def test_gzip_members_are_drawn_from_all_over(tmp_path: Path) -> None:
    pages = [response(f"<p>{n:06d} {_noise(n)}</p>".encode()) for n in range(3_000)]
    (tmp_path / "a.warc.gz").write_bytes(warc_gz(pages))
    assert (tmp_path / "a.warc.gz").stat().st_size > 1 << 20
    numbers = _numbers(_sample(tmp_path))
    assert len({number // 300 for number in numbers}) >= 9


def test_many_small_files_give_a_document_each(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number:03d}.txt").write_text(f"{number} and some words")
    found = _sample(tmp_path)
    assert len(set(_numbers(found))) == 40
    assert found.places == 40


def test_what_is_compressed_as_a_whole_is_read_at_its_beginning(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"{n:06d} {_noise(n)}"}).encode() for n in range(20_000)]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines), 1, mtime=0))
    found = _sample(tmp_path)
    numbers = _numbers(found)
    assert len(numbers) == 40
    assert 4_000 < max(numbers) < 8_000, "4 MiB of it, not the file"
    assert found.text_bytes == pytest.approx(20_000 * len(json.loads(lines[0])["text"]), rel=0.05)


def test_arrow_batches_are_drawn_from_all_over(tmp_path: Path) -> None:
    with pa.ipc.new_file(tmp_path / "a.arrow", pa.schema({"text": pa.string()})) as writer:
        for first in range(0, 4_000, 100):
            texts = [f"{n:06d} {_noise(n)}" for n in range(first, first + 100)]
            writer.write_table(pa.table({"text": texts}))
    found = _sample(tmp_path)
    assert len({number // 400 for number in _numbers(found)}) == 10
    assert found.text_bytes == pytest.approx(4_000 * len(texts[0]), rel=0.05)


def test_every_file_is_in_it_and_weighs_what_it_holds(tmp_path: Path, big: Path) -> None:
    (tmp_path / "small.jsonl").write_bytes(b"\n".join(map(_line, range(5))))
    (tmp_path / "packed.jsonl.gz").write_bytes(
        gzip.compress(b"\n".join(map(_line, range(6_000))), mtime=0)
    )
    found = _sample(tmp_path)
    size = len(json.loads(_line(0))["text"])
    held = {"big.jsonl": 12_000 * size, "small.jsonl": 5 * size, "packed.jsonl.gz": 6_000 * size}
    stands: dict[str, float] = dict.fromkeys(held, 0)
    for name, weight in zip(found.documents["source"].to_pylist(), found.stands_for, strict=True):
        stands[name] += weight
    assert stands == pytest.approx(held, rel=0.05)
    assert found.documents.num_rows == 40
    assert found.text_bytes == pytest.approx(sum(held.values()), rel=0.05)


def test_a_small_file_gives_documents_from_all_over_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(map(_line, range(1_000))))
    assert _numbers(_sample(tmp_path, documents=10)) == list(range(0, 1_000, 111))


def test_few_documents_are_all_of_them_and_the_rest_is_counted(tmp_path: Path) -> None:
    lines = [b'{"text": "1 one"}', b'{"text": cut', b'{"text": " "}', b'{"text": "2 two"}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    found = _sample(tmp_path)
    assert _numbers(found) == [1, 2]
    assert found.not_documents == {"broken_record": 1, "empty_text": 1}
    (tmp_path / "a.jsonl").write_bytes(b'{"text": cut')
    with pytest.raises(InputError, match="no document at 1 places of 1 files: found 1 broken"):
        _sample(tmp_path)


def test_a_folder_without_a_known_extension_is_not_called_empty(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b")
    with pytest.raises(InputError, match=r"found 1 unknown_format, first 'table.csv'"):
        _sample(tmp_path)


def test_a_file_that_may_not_be_read_is_named_with_a_remedy(big: Path) -> None:
    files = listed_unhashed(SourceConfig(paths=(str(big),)), Path())
    big.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)  # root may read anything
    try:
        with pytest.raises(InputError, match=r"big.jsonl: Permission denied. Change its perm"):
            opened(files[0])
    finally:
        if is_root:
            os.seteuid(0)
