"""Extraction loses nothing, books everything, and does not depend on how it was cut up."""

import gzip
import itertools
import json
import pickle
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines import extract, schemas, source
from pipelines.errors import InputError
from pipelines.executors import InProcess
from pipelines.extract import ExtractConfig, ExtractUnit, ExtractWorker, units_of_files
from pipelines.ledger import Count
from pipelines.listed_files import SourceFile
from pipelines.shards import ShardRecord
from pipelines.source import SourceConfig
from pipelines.workspace import InputArtifact, Progress, Resources, StageOutput, Workspace
from tests.support.documents import prose, write_jsonl

SHORT = '"""Short."""\n'
LONG = f'"""{prose(1)}"""\n'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(4):
        write_jsonl(folder / f"{number}.jsonl", 20, start=100 * number)
    (folder / "note.txt").write_text("A note: été.")
    (folder / "blank.md").write_text(" \n\t")
    (folder / "odd.jsonl").write_bytes(b'{"text": "good"}\n{\n{"text": "caf\xe9"}\n')
    return folder


def _artifact(root: Path, output: StageOutput) -> InputArtifact:
    return InputArtifact("docs", "source", "digest", root, output.files)


def _list(data: Path, root: Path) -> InputArtifact:
    workspace = Workspace("docs", root, "a1", {}, Resources(), InProcess(), base=data.parent)
    return _artifact(root, source.run(workspace, SourceConfig(paths=(data.name,))))


def _extract(
    listing: InputArtifact, root: Path, *, attempt: str = "a1", **config: object
) -> StageOutput:
    inputs = {"source": listing}
    workspace = Workspace("text", root, attempt, inputs, Resources(), InProcess())
    return extract.run(workspace, ExtractConfig.model_validate(config))


def _table(output: StageOutput, root: Path, role: str) -> pa.Table:
    paths = sorted(entry.path for entry in output.files if entry.role == role)
    return pa.concat_tables(pq.read_table(root / path, partitioning=None) for path in paths)


def test_documents_rejects_and_books(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "out"
    output = _extract(_list(data, tmp_path / "docs"), root)
    kept, rejects = (_table(output, root, role) for role in ("data", "rejects"))
    assert kept.schema.equals(schemas.DOCUMENT)
    assert rejects.schema.equals(schemas.DROPPED)
    assert kept.num_rows == 4 * 22 + 2
    assert set(rejects["stage"].to_pylist()) == {"text"}
    by_rule = {(r["source"], r["rule"], r["feature"], r["value"]) for r in rejects.to_pylist()}
    assert by_rule == {
        ("blank.md", "empty_text", "reader", None),
        ("odd.jsonl", "broken_record", "reader", None),
    }
    broken = rejects.to_pylist()[-1]
    assert broken["text"] == '{"text": "caf\\xe9"}'
    assert json.loads(broken["metadata"])["position"] == "19"
    assert "not UTF-8" in json.loads(broken["metadata"])["error"]

    ledger = output.ledger.balance("text")
    assert ledger.kept == Count(rows=90, bytes=pc.sum(pc.binary_length(kept["text"])).as_py())
    assert {rule: count.rows for rule, count in ledger.dropped.items()} == {
        "broken_record": 2,
        "empty_text": 1,
    }
    assert ledger.dropped["empty_text"].bytes == 3
    assert output.metrics == {"files": 7, "file_bytes": sum(f.stat().st_size for f in
                                                            data.iterdir())}  # fmt: skip
    ids = kept["doc_id"].to_pylist() + rejects["doc_id"].to_pylist()
    assert len(set(ids)) == len(ids)


def test_how_it_is_cut_up_changes_neither_ids_nor_order(data: Path, tmp_path: Path) -> None:
    listing = _list(data, tmp_path / "docs")
    one = _extract(listing, tmp_path / "one")
    many = _extract(listing, tmp_path / "many", unit_bytes=3000)
    assert len(one.files) == 2
    assert len(many.files) > 10
    for role in ("data", "rejects"):
        left, right = _table(one, tmp_path / "one", role), _table(many, tmp_path / "many", role)
        assert left.equals(right)
    assert one.ledger == many.ledger


def test_a_large_file_makes_many_shards_of_bounded_size(data: Path, tmp_path: Path) -> None:
    write_jsonl(data / "large.jsonl", 500)
    root = tmp_path / "out"
    output = _extract(_list(data, tmp_path / "docs"), root, unit_bytes=20_000)
    sizes = [
        pc.sum(pc.binary_length(pq.read_table(root / entry.path)["text"])).as_py()
        for entry in output.files
        if entry.role == "data"
    ]
    assert len(sizes) > 15
    assert max(sizes) < 21_000


def test_two_runs_give_the_same_bytes(data: Path, tmp_path: Path) -> None:
    listing = _list(data, tmp_path / "docs")
    one = _extract(listing, tmp_path / "one", attempt="a1", unit_bytes=3000)
    two = _extract(listing, tmp_path / "two", attempt="b2", unit_bytes=3000)
    assert [f.xxh3_128 for f in one.files] == [f.xxh3_128 for f in two.files]
    assert {f.path for f in one.files}.isdisjoint(f.path for f in two.files)


def test_finished_units_are_not_read_again(data: Path, tmp_path: Path) -> None:
    listing, root = _list(data, tmp_path / "docs"), tmp_path / "out"
    broken = data / "odd.jsonl"
    good = broken.read_bytes()
    broken.write_bytes(good + b"\n")
    with pytest.raises(InputError, match=r"odd.jsonl: the file changed after it was listed"):
        _extract(listing, root, attempt="a1", unit_bytes=3000)
    broken.write_bytes(good)
    output = _extract(listing, root, attempt="b2", unit_bytes=3000)
    attempts = {Path(entry.path).name.split(".")[1] for entry in output.files}
    assert attempts == {"a1", "b2"}
    fresh = _extract(listing, tmp_path / "fresh", unit_bytes=3000)
    assert _table(output, root, "data").equals(_table(fresh, tmp_path / "fresh", "data"))


@pytest.mark.parametrize("change", ["same size", "gone"])
def test_a_file_that_is_not_what_was_listed_stops_the_stage(
    data: Path, tmp_path: Path, change: str
) -> None:
    listing = _list(data, tmp_path / "docs")
    note = data / "note.txt"
    if change == "gone":
        note.unlink()
    else:
        note.write_text("A nota: été.")
    with pytest.raises(InputError, match=r"note.txt: the file .* [Rr]un again: the plan"):
        _extract(listing, tmp_path / "out")


def test_a_broken_file_stops_or_is_set_aside(data: Path, tmp_path: Path) -> None:
    content = (data / "0.jsonl").read_bytes()
    (data / "cut.jsonl.gz").write_bytes(gzip.compress(content)[:-30])
    listing = _list(data, tmp_path / "docs")
    with pytest.raises(InputError, match=r"cut.jsonl.gz: the file is broken: .*set_aside"):
        _extract(listing, tmp_path / "stop")
    root = tmp_path / "aside"
    output = _extract(listing, root, broken_files="set_aside")
    assert output.ledger.dropped["broken_file"] == Count(rows=1)
    (row,) = (r for r in _table(output, root, "rejects").to_pylist() if r["rule"] == "broken_file")
    assert row["source"] == "cut.jsonl.gz"
    assert "readable up to byte" in json.loads(row["metadata"])["error"]
    texts = [r["text"] for r in _table(output, root, "data").to_pylist()
             if r["source"] == "cut.jsonl.gz"]  # fmt: skip
    assert 0 < len(texts) < 22
    assert texts == [json.loads(line)["text"] for line in content.splitlines()][: len(texts)]


def test_short_docstrings_are_dropped_with_their_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "p-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: p\nVersion: 1\n\nShort too.")
    (info / "RECORD").write_text("p-1.dist-info/METADATA,,\nlong.py,,\nshort.py,,\n")
    (site / "long.py").write_text(LONG)
    (site / "short.py").write_text(SHORT)
    monkeypatch.syspath_prepend(str(site))
    config = SourceConfig(format="installed_packages", packages=("p",))
    workspace = Workspace("docs", tmp_path / "docs", "a1", {}, Resources(), InProcess())
    listing = _artifact(tmp_path / "docs", source.run(workspace, config))
    root = tmp_path / "out"
    output = _extract(listing, root, min_characters=200)
    kept = _table(output, root, "data")["source"].to_pylist()
    assert kept == ["p-1/long.py", "p-1/p-1.dist-info/METADATA"]
    (row,) = _table(output, root, "rejects").to_pylist()
    verdict = [row[name] for name in ("rule", "feature", "value", "limit")]
    assert verdict == ["short_docstring", "characters", 6.0, 200.0]
    assert (
        "short_docstring"
        not in _extract(listing, tmp_path / "all", min_characters=6).ledger.dropped
    )


def test_a_source_without_a_document_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").write_text('{"body": "x"}\n')
    (tmp_path / "data" / "b.jsonl").write_text("")
    with pytest.raises(InputError, match=r"no document in 2 files, first .*found 1 broken_record"):
        _extract(_list(tmp_path / "data", tmp_path / "docs"), tmp_path / "out")


def test_the_factory_travels_and_the_unit_is_plain_data(data: Path, tmp_path: Path) -> None:
    listing = _list(data, tmp_path / "docs")
    (unit,) = units_of_files(extract.listed(listing), 1 << 20)
    factory = partial(
        ExtractWorker, root=str(tmp_path / "out"), attempt="a", stage="t", config=ExtractConfig()
    )
    worker = pickle.loads(pickle.dumps(factory))()
    record = worker(json.loads(json.dumps(unit.model_dump())))
    assert isinstance(record, ShardRecord)
    assert record.shard == "00000"
    assert record.ledger.kept.rows == 90


def test_progress_is_told_in_units(data: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    listing = _list(data, tmp_path / "docs")
    workspace = Workspace(
        "text", tmp_path / "out", "a", {"source": listing}, Resources(), InProcess(),
        on_progress=told.append,
    )  # fmt: skip
    extract.run(workspace, ExtractConfig(unit_bytes=3000))
    assert told[0].done == 0
    assert told[-1].done == told[-1].total > 3


def _bytes(unit: ExtractUnit) -> int:
    return sum(portion.file.bytes for portion in unit.portions)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 60))
def test_units_hold_every_file_once_in_order_and_are_full(sizes: list[int], limit: int) -> None:
    files = [
        SourceFile(name=f"{i:03}", uri="", format="html", bytes=size, xxh3_128="")
        for i, size in enumerate(sizes)
    ]
    units = units_of_files(files, limit)
    assert [portion.file for unit in units for portion in unit.portions] == files
    assert len({unit.shard for unit in units}) == len(units)
    for unit in units:
        assert len(unit.portions) == 1 or _bytes(unit) <= limit
    for unit, after in itertools.pairwise(units):
        assert _bytes(unit) + after.portions[0].file.bytes > limit


@pytest.mark.parametrize(
    ("corpus", "unit"),
    [(0, 8 << 20), (10**11, 8 << 20), (10**12, 50_000_000), (10**13, 64 << 20)],
)
def test_units_grow_with_the_corpus_within_bounds(corpus: int, unit: int) -> None:
    assert extract.fitting_unit(corpus) == unit


def test_a_unit_of_no_size_given_is_one_of_8_mib(data: Path, tmp_path: Path) -> None:
    listing = _list(data, tmp_path / "docs")
    free, told = (
        _extract(listing, tmp_path / name, **config)
        for name, config in (("free", {}), ("told", {"unit_bytes": 8 << 20}))
    )
    assert [f.xxh3_128 for f in free.files] == [f.xxh3_128 for f in told.files]


@pytest.mark.parametrize(
    "impossible", [{"unit_bytes": 0}, {"min_characters": -1}, {"broken_files": "skip"}, {"x": 1}]
)
def test_impossible_configs_are_refused(impossible: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ExtractConfig.model_validate(impossible)
