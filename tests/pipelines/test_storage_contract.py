"""What every store promises, asked of a local disk and of a bucket alike."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from pipelines import storage
from pipelines.errors import StoreError
from pipelines.ledger import Ledger
from pipelines.local_copies import Bundle, scratch, user_cache
from pipelines.probe import probe
from pipelines.shards import (
    ShardFiles,
    ShardRecord,
    load_record,
    load_records,
    read_table,
    record_path,
    save_record,
    settle,
)
from pipelines.storage import StorePath
from pipelines.workspace import InputArtifact


@pytest.fixture(params=["disk", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> StorePath:
    if request.param == "disk":
        return tmp_path / "store"
    return storage.store_root(request.getfixturevalue("s3_store"))


def _files_below(folder: StorePath) -> list[str]:
    if isinstance(folder, Path):
        return sorted(path.name for path in folder.rglob("*") if path.is_file())
    return sorted(name.rpartition("/")[2] for name in folder.fs.find(folder.path))


def test_put_if_absent_has_one_winner_among_sixteen_threads(root: StorePath) -> None:
    target = root / "a" / "manifest.json"
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: storage.put_if_absent(target, b"%d" % i), range(16)))
    assert sum(won) == 1
    assert target.read_bytes() == b"%d" % won.index(True)
    assert _files_below(root) == ["manifest.json"]


def test_put_if_absent_has_one_winner_among_processes(root: StorePath) -> None:
    script = (
        "import sys; from pipelines import storage\n"
        "print(storage.put_if_absent(storage.at(sys.argv[1]), sys.argv[2].encode()))"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(root / "raced"), str(number)],
            stdout=subprocess.PIPE, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    won = [racer.communicate(timeout=60)[0].strip() == "True" for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    assert sum(won) == 1
    assert (root / "raced").read_bytes() == b"%d" % won.index(True)


def test_a_write_that_fails_half_way_leaves_nothing(root: StorePath) -> None:
    def interrupted() -> None:
        with storage.durable_file(root / "data" / "part") as handle:
            handle.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert _files_below(root) == []
    assert storage.sizes(root, ["data/part"]) == {}


def test_size_and_hash_come_from_the_writing_and_are_those_of_the_file(root: StorePath) -> None:
    table = pa.table({"doc_id": [f"d{i}" for i in range(5000)], "n": range(5000)})
    files = ShardFiles(root, "00000", "aaaa")
    files.write_parquet(table, "data")
    files.write_arrow(table, "data")
    files.write_bytes(b"\0\n" * 70_000, "aside", name="b")
    for entry in files.entries:
        content = (root / entry.path).read_bytes()
        assert (entry.bytes, entry.xxh3_128) == (len(content), xxhash.xxh3_128_hexdigest(content))
    assert read_table(str(root / files.entries[0].path), ["n"])["n"].to_pylist() == list(
        range(5000)
    )


def test_the_bytes_of_a_table_are_those_that_pyarrow_writes_to_a_plain_file(
    root: StorePath, tmp_path: Path
) -> None:
    table = pa.table({"text": ["some words " * 50] * 3000})
    files = ShardFiles(root, "00000", "aaaa")
    files.write_parquet(table, "data")
    pq.write_table(table, tmp_path / "plain", compression="zstd")
    assert (root / files.entries[0].path).read_bytes() == (tmp_path / "plain").read_bytes()


def test_listing_sizes_and_reading_see_exactly_what_is_there(root: StorePath) -> None:
    assert storage.children(root / "d") == []
    for number in range(12):
        storage.write_bytes(root / "d" / f"{number:02d}", b"x" * number)
    storage.write_bytes(root / "d" / "deep" / "er", b"y")
    storage.write_bytes(root / "dd", b"another")
    assert storage.children(root / "d") == [*(f"{number:02d}" for number in range(12)), "deep"]
    many = [*(f"{number:02d}" for number in range(12)), "deep", "12"]
    assert storage.sizes(root / "d", many) == {f"{number:02d}": number for number in range(12)}
    assert storage.sizes(root / "d", ["03", "gone"]) == {"03": 3}
    assert storage.sizes(root / "d", ["deep"]) == {}
    read = storage.read_all([root / "d" / "02", root / "d" / "gone", root / "d" / "deep" / "er"])
    assert {path.name: content for path, content in read.items()} == {"02": b"xx", "er": b"y"}
    storage.delete(root / "d" / "02")
    storage.delete(root / "d" / "02")
    assert "02" not in storage.children(root / "d")


def test_what_another_writer_adds_is_seen_at_once(root: StorePath) -> None:
    storage.write_bytes(root / "d" / "one", b"1")
    assert storage.children(root / "d") == ["one"]
    other = storage.at(str(root))
    storage.write_bytes(other / "d" / "two", b"2")
    assert storage.children(root / "d") == ["one", "two"]
    assert storage.sizes(root, ["d/two"]) == {"d/two": 1}


def test_a_path_survives_as_a_string(root: StorePath) -> None:
    path = root / "clean" / "a@1=2.x"
    assert storage.at(str(path)) == path
    assert storage.relative(path, root) == "clean/a@1=2.x"


def test_local_gives_the_content_and_leaves_no_copy(root: StorePath) -> None:
    storage.write_bytes(root / "data" / "part.bin", b"content")
    with storage.local(root / "data" / "part.bin") as path:
        assert path.read_bytes() == b"content"
        assert path.name == "part.bin"
    assert path.exists() == isinstance(root, Path)


def _record(root: StorePath, shard: str, text: str = "t") -> ShardRecord:
    files = ShardFiles(root, shard, f"attempt-{text}")
    files.write_parquet(pa.table({"text": [text]}), "data")
    return ShardRecord(shard=shard, files=files.entries, ledger=Ledger())


def test_a_record_whose_file_is_gone_or_cut_is_redone(root: StorePath) -> None:
    records = {shard: save_record(root, _record(root, shard)) for shard in ("0", "1", "2")}
    assert load_records(root, ["0", "1", "2", "3"]) == records
    storage.delete(root / records["0"].files[0].path)
    (root / records["2"].files[0].path).write_bytes(b"cut")
    assert load_records(root, ["0", "1", "2", "3"]) == {"1": records["1"]}
    assert storage.read_all([record_path(root, "0")]) == {}
    redone = save_record(root, _record(root, "0", "again"))
    assert load_record(root, "0") == redone


def test_the_first_record_wins(root: StorePath) -> None:
    first = save_record(root, _record(root, "0", "first"))
    assert save_record(root, _record(root, "0", "second")) == first


def test_what_a_tool_writes_into_a_folder_becomes_the_stores(root: StorePath) -> None:
    folder = root / "model-x"
    scratch(folder).mkdir(parents=True)
    (scratch(folder) / "b.bin").write_bytes(b"b" * 10)
    (scratch(folder) / "a.json").write_text("{}")
    entries = settle(root, folder, "model")
    assert [(e.path, e.bytes, e.shard) for e in entries] == [
        ("model-x/a.json", 2, "a.json"),
        ("model-x/b.bin", 10, "b.bin"),
    ]
    assert (root / "model-x" / "b.bin").read_bytes() == b"b" * 10
    assert entries[1].xxh3_128 == xxhash.xxh3_128_hexdigest(b"b" * 10)
    assert scratch(folder).exists() == isinstance(root, Path)
    opened = InputArtifact("m", "pretrain", "d", root, entries).bundle("model").folder()
    assert sorted(path.name for path in opened.iterdir()) == ["a.json", "b.bin"]


def test_an_input_of_another_size_than_promised_is_refused(root: StorePath) -> None:
    entry = _record(root, "0").files[0]
    artifact = InputArtifact("clean", "filter", "d", root, (entry,))
    assert artifact.paths() == (root / entry.path,)
    (root / entry.path).write_bytes(b"short")
    with pytest.raises(StoreError, match=rf"promises {entry.bytes} bytes, the file is 5 bytes"):
        artifact.paths()
    storage.delete(root / entry.path)
    with pytest.raises(StoreError, match="missing"):
        artifact.path(entry)


def test_the_probe_finds_nothing_wrong_and_leaves_nothing(root: StorePath) -> None:
    checks = probe(root)
    assert [check.name for check in checks if not check.ok] == []
    assert len(checks) == 5
    assert _files_below(root) == []


@pytest.fixture
def bucket(s3_store: str) -> StorePath:
    return storage.store_root(s3_store)


def test_a_bundle_is_kept_by_content_and_a_damaged_file_is_refused(bucket: StorePath) -> None:
    written = storage.write_bytes(bucket / "model" / "w.bin", b"weights")
    bundle = Bundle(((str(bucket / "model" / "w.bin"), written.xxh3_128),))
    kept = bundle.folder() / "w.bin"
    assert kept.read_bytes() == b"weights"
    before = kept.stat().st_mtime_ns
    assert bundle.folder() == kept.parent
    assert kept.stat().st_mtime_ns == before
    kept.write_bytes(b"spoiled")
    assert (bundle.folder() / "w.bin").read_bytes() == b"weights"
    other = Bundle(((str(bucket / "model" / "w.bin"), "0" * 32),))
    with pytest.raises(StoreError, match="promises the hash 0000"):
        other.folder()
    assert [path.read_bytes() for path in user_cache().rglob("*.bin")] == [b"weights"]
