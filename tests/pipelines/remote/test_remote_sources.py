"""Files on servers are listed by version, read by ranges, and give the records local ones give."""

import gzip
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import InputError, UnreachableError
from pipelines.listed_files import SourceFile
from pipelines.reading.portion import Portion
from pipelines.reading.readers import read
from pipelines.reading.records import Document, Record
from pipelines.reading.splitting import portions_of
from pipelines.remote import addresses
from pipelines.remote.copies import kept_copy
from pipelines.source import SourceConfig, identity, survey
from pipelines.unchanged import check_still_unchanged, check_unchanged, stamped
from tests.support.file_servers import FileServer, serving
from tests.support.reading import response, rules, texts, warc_gz

ROWS = 400


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of every format that can be cut, and some that cannot."""
    root = tmp_path_factory.mktemp("corpus")
    draw = random.Random(5)
    said = [f"{n} " + "".join(draw.choices("abc def", k=200)) for n in range(ROWS)]
    lines = [json.dumps({"text": text}).encode() for text in said]
    lines[7] = b'{"text": cut'
    (root / "deep").mkdir()
    (root / "a.jsonl").write_bytes(b"\n".join(lines))
    (root / "deep/b.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines), mtime=0))
    pq.write_table(pa.table({"text": said}), root / "c.parquet", row_group_size=50)
    records = [response(f"<p>{text}</p>".encode() * 3) for text in said[:60]]
    (root / "d.warc.gz").write_bytes(warc_gz(records))
    (root / "e.txt").write_text(said[0])
    (root / "empty.txt").write_text("")
    (root / "picture.png").write_bytes(b"png")
    return root


@pytest.fixture
def server(corpus: Path) -> Iterator[FileServer]:
    with serving(corpus) as files:
        yield files


@pytest.fixture
def bucket(corpus: Path, s3_account: str) -> str:
    import s3fs

    place = f"store/{uuid.uuid4().hex}"
    s3fs.S3FileSystem(skip_instance_cache=True).put(f"{corpus}/", f"{place}/", recursive=True)
    return f"s3://{place}"


def listed(*paths: object, base: Path | None = None) -> dict[str, SourceFile]:
    config = SourceConfig(paths=tuple(map(str, paths)))
    return {file.name: file for file in survey(config, base or Path()).files}


def records_of(file: SourceFile, unit: int = 8 << 10) -> list[Record]:
    return [record for portion in portions_of(file, unit) for record in read(portion)]


NAMES = ("a.jsonl", "c.parquet", "d.warc.gz", "deep/b.jsonl.gz", "e.txt", "empty.txt")


def test_a_bucket_gives_the_listing_and_the_records_of_a_folder(corpus: Path, bucket: str) -> None:
    remote, local = listed(bucket), listed(corpus)
    assert tuple(sorted(remote)) == NAMES == tuple(sorted(local))
    assert all(file.xxh3_128.startswith("etag:") for file in remote.values())
    assert {name: file.bytes for name, file in remote.items()} == {
        name: file.bytes for name, file in local.items()
    }
    for name in NAMES:
        assert records_of(remote[name]) == records_of(local[name]), name
    assert len(portions_of(remote["a.jsonl"], 8 << 10)) > 5
    assert len(portions_of(remote["c.parquet"], 8 << 10)) > 5


def test_patterns_and_single_objects_of_a_bucket(bucket: str) -> None:
    assert list(listed(f"{bucket}/*.jsonl")) == ["a.jsonl"]
    assert list(listed(f"{bucket}/**/*.gz")) == ["d.warc.gz", "deep/b.jsonl.gz"]
    assert list(listed(f"{bucket}/deep/b.jsonl.gz")) == ["b.jsonl.gz"]
    dropped = survey(SourceConfig(paths=(bucket,)), Path()).dropped
    assert [(file.name, file.rule) for file in dropped] == [("picture.png", "unknown_format")]


def test_what_is_not_in_a_bucket_is_refused_with_a_remedy(bucket: str, s3_account: str) -> None:
    with pytest.raises(InputError, match="matches no file"):
        listed(f"{bucket}/*.warc")
    with pytest.raises(InputError, match="nothing lies at"):
        listed(f"{bucket}/none/")
    with pytest.raises(InputError, match=r"access to s3://forbidden/x\.txt is refused.*AWS_ACC"):
        listed("s3://forbidden/x.txt")


def test_an_object_that_was_replaced_stops_the_reading(bucket: str) -> None:
    import s3fs

    file = listed(f"{bucket}/a.jsonl")["a.jsonl"]
    before = identity(SourceConfig(paths=(bucket,)), Path())
    portion = stamped(portions_of(file, 8 << 10))[1]
    check_unchanged(portion)
    fs = s3fs.S3FileSystem(skip_instance_cache=True)
    fs.pipe(f"{bucket}/a.jsonl", b"x" * file.bytes)
    for check in (check_unchanged, check_still_unchanged):
        with pytest.raises(InputError, match="changed after it was listed"):
            check(portion)
    assert identity(SourceConfig(paths=(bucket,)), Path())["content"] != before["content"]


def test_a_part_of_a_file_costs_the_bytes_of_the_part(server: FileServer, corpus: Path) -> None:
    big = corpus / "big.txt"
    line = b"a line of some words that fills the file\n"
    big.write_bytes(line * 400_000)
    config = SourceConfig(paths=(f"{server.url}/big.txt",), format="lines")
    file = survey(config, Path()).files[0]
    portions = portions_of(file, 4 << 20)
    server.sent.clear()
    found = list(read(portions[1]))
    assert len(found) == pytest.approx((4 << 20) / len(line), rel=0.01)
    assert sum(server.sent["/big.txt"]) < 6 << 20 < big.stat().st_size / 2
    assert max(server.sent["/big.txt"]) <= 1 << 20
    big.unlink()


def test_a_row_group_is_not_held_whole(server: FileServer, corpus: Path) -> None:
    big = corpus / "big.parquet"
    texts = [random.Random(number).randbytes(250).hex() for number in range(32_000)]
    pq.write_table(pa.table({"text": texts}), big, compression="none", use_dictionary=False)
    (file,) = survey(SourceConfig(paths=(f"{server.url}/big.parquet",)), Path()).files
    server.sent.clear()
    records = read(Portion(file=file))
    next(records)
    assert sum(server.sent["/big.parquet"]) < 4 << 20 < big.stat().st_size / 3
    assert len(list(records)) == 31_999
    big.unlink()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "deep/b.jsonl.gz"])
def test_a_web_server_gives_the_records_of_a_folder(
    server: FileServer, corpus: Path, name: str
) -> None:
    remote = listed(f"{server.url}/{name}")[name]
    assert remote.has_ranges
    assert records_of(remote) == records_of(listed(corpus / name)[name])
    assert "broken_record" in rules(records_of(remote)) or name != "a.jsonl"


@pytest.mark.parametrize("name", ["a.jsonl", "c.parquet", "empty.txt"])
def test_a_server_without_ranges_is_read_from_a_copy_that_is_compared(
    corpus: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes((corpus / name).read_bytes())
    with serving(tmp_path, ranges=False) as plain:
        remote = listed(f"{plain.url}/{name}")[name]
        local = listed(corpus / name)[name]
        assert (remote.xxh3_128, remote.bytes) == (local.xxh3_128, local.bytes)
        assert len(portions_of(remote, 1 << 10)) == 1
        assert records_of(remote) == records_of(local)
        (tmp_path / name).write_bytes(b"other")
        with pytest.raises(InputError, match="changed after it was listed"):
            records_of(remote)


def test_a_server_that_stumbles_is_asked_again(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(addresses.time, "sleep", waited.append)
    file = listed(f"{server.url}/a.jsonl")["a.jsonl"]
    server.stumbles = 2
    assert len(texts(read(Portion(file=file)))) == ROWS - 1
    assert len(waited) == 2
    server.stumbles = 100
    with pytest.raises(UnreachableError, match=r"503.*Check the network, then run the same"):
        list(read(Portion(file=file)))
    server.stumbles = 0


def test_what_a_web_server_refuses_is_told(server: FileServer) -> None:
    with pytest.raises(InputError, match="nothing lies at"):
        listed(f"{server.url}/none.txt")
    with pytest.raises(InputError, match=r"access to .*secret\.txt is refused"):
        listed(f"{server.url}/secret.txt")
    with pytest.raises(InputError, match="is of unknown format"):
        listed(f"{server.url}/picture.png")


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses.time, "sleep", lambda _: None)
    with pytest.raises(UnreachableError, match=r"cannot read http://127\.0\.0\.1:9/x\.txt"):
        listed("http://127.0.0.1:9/x.txt")


def test_a_package_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(InputError, match=r"gs:// needs the package gcsfs.*llada-pipeline\[gcs\]"):
        listed("gs://bucket/x.txt")


def test_a_bucket_of_google_gives_the_listing_and_the_records_of_a_folder(
    server: FileServer, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gcsfs", reason="the package gcsfs is not installed (the extra `gcs`)")
    scheme = addresses.SCHEMES["gs"]
    options = {**scheme.options, "endpoint_url": server.url, "token": "anon"}
    changed = {**addresses.SCHEMES, "gs": replace(scheme, options=options)}
    monkeypatch.setattr(addresses, "SCHEMES", changed)
    remote, local = listed("gs://corpus/"), listed(corpus)
    assert tuple(sorted(remote)) == NAMES
    for name in NAMES:
        assert remote[name].has_ranges
        assert records_of(remote[name]) == records_of(local[name]), name
        check_unchanged(Portion(file=remote[name]))
    assert list(listed("gs://corpus/deep")) == ["b.jsonl.gz"]
    assert list(listed("gs://corpus/*.parquet")) == ["c.parquet"]
    with pytest.raises(InputError, match="nothing lies at gs://corpus/none"):
        listed("gs://corpus/none.txt")


@pytest.fixture
def hub(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A dataset on a Hub of our own."""
    scheme = addresses.SCHEMES["hf"]
    options = {**scheme.options, "endpoint": server.url, "token": False}
    changed = {**addresses.SCHEMES, "hf": replace(scheme, options=options)}
    monkeypatch.setattr(addresses, "SCHEMES", changed)
    return "hf://datasets/me/made-up"


def test_a_dataset_of_the_hub_is_its_files(hub: str, corpus: Path) -> None:
    remote, local = listed(hub), listed(corpus)
    assert tuple(sorted(remote)) == NAMES
    for name in ("a.jsonl", "c.parquet"):
        assert records_of(remote[name]) == records_of(local[name]), name
    check_unchanged(Portion(file=remote["a.jsonl"]))
    assert list(listed(f"{hub}/*.parquet")) == ["c.parquet"]
    assert list(listed(f"{hub}/e.txt")) == ["e.txt"]


def test_a_dataset_that_the_hub_does_not_know(hub: str) -> None:
    with pytest.raises(InputError, match="nothing lies at hf://datasets/me/none"):
        listed("hf://datasets/me/none")


def test_a_saved_dataset_is_read_with_its_columns(tmp_path: Path) -> None:
    import datasets

    rows = {"text": ["one text", "another"], "stars": [5, 3]}
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
    (file,) = listed(tmp_path / "saved").values()
    found = records_of(file)
    assert texts(found) == rows["text"]
    assert [json.loads(d.metadata or "") for d in found if isinstance(d, Document)] == [
        {"stars": 5}, {"stars": 3},
    ]  # fmt: skip


def test_a_copy_is_kept_by_version(bucket: str, corpus: Path) -> None:
    file = listed(f"{bucket}/e.txt")["e.txt"]
    copy = kept_copy(file)
    assert copy.read_bytes() == (corpus / "e.txt").read_bytes()
    copy.write_bytes(b"kept")
    assert kept_copy(file).read_bytes() == b"kept"
