import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipelines import decontaminate
from pipelines.benchmarks import BenchmarkFiles, Benchmarks, read_benchmarks
from pipelines.decontaminate import DecontaminateConfig, report_table
from pipelines.errors import InputError
from pipelines.schemas import LISTING
from pipelines.shards import ShardFiles
from pipelines.source import SourceConfig, listing
from pipelines.workspace import InputArtifact, StageOutput
from tests.support.documents import prose
from tests.support.stages import documents, rows_of, workspace

ITEM = prose(3)
CONFIG: dict[str, Any] = {"benchmarks": {"quiz": {"files": "quiz.jsonl", "fields": ["q"]}}}


def _write(folder: Path, name: str, rows: list[Any]) -> Path:
    path = folder / "bench" / name
    path.parent.mkdir(exist_ok=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if name.endswith(".gz"):
        content = gzip.compress(content)
    if name.endswith(".zst"):
        content = zstandard.compress(content)
    path.write_bytes(content)
    return path


def _read(folder: Path, format_: str = "auto", **benchmarks: dict[str, Any]) -> Benchmarks:
    config = SourceConfig(paths=("bench",), format=format_)  # type: ignore[arg-type]
    parsed = {name: BenchmarkFiles.model_validate(b) for name, b in benchmarks.items()}
    return read_benchmarks(listing(config, folder), parsed)


def _run(tmp_path: Path, rows: list[dict[str, Any]], **config: Any) -> StageOutput:
    found = listing(SourceConfig(paths=("bench",)), tmp_path)
    files = ShardFiles(tmp_path / "listing", "00000", "aaaa")
    listed = pa.Table.from_pylist([file.model_dump() for file in found], schema=LISTING)
    files.write_parquet(listed, "data")
    inputs = {
        "documents": documents(tmp_path, "clean", rows),
        "benchmarks": InputArtifact(
            "evals", "source", "1" * 64, tmp_path / "listing", files.entries
        ),
    }
    parsed = DecontaminateConfig.model_validate({**CONFIG, **config})
    output = decontaminate.run(workspace(tmp_path, inputs), parsed)
    output.ledger.balance("out")
    return output


def test_a_contaminated_document_is_dropped_and_leads_to_its_item(tmp_path: Path) -> None:
    _write(tmp_path, "quiz.jsonl", [{"q": prose(1)}, {"q": ITEM}])
    text = f"Look what I found!\n{ITEM}\nThe end."
    rows = [{"doc_id": "good", "text": prose(8)}, {"doc_id": "bad", "text": text}]
    output = _run(tmp_path, rows)
    assert [row["doc_id"] for row in rows_of(tmp_path, output, "data")] == ["good"]
    (dropped,) = rows_of(tmp_path, output, "rejects")
    assert (dropped["rule"], dropped["feature"]) == ("contaminated", "benchmark_overlap")
    assert (dropped["value"], dropped["limit"], dropped["stage"]) == (1.0, 0.5, "out")
    assert (dropped["benchmark"], dropped["benchmark_item"]) == ("quiz", "quiz.jsonl:2")
    assert dropped["benchmark_field"] == "q"
    assert text[dropped["matched_begin"] : dropped["matched_end"]] + "." == ITEM
    (quiz,) = output.info["benchmarks"].values()
    assert (quiz["items"], quiz["items_contaminating"], quiz["documents_dropped"]) == (2, 1, 1)
    assert "quiz" in report_table(output.info)
    names = [entry.path for entry in output.files if entry.role == "aside"]
    assert "aside/contamination.json" in names


def test_a_partial_hit_is_kept_and_reported(tmp_path: Path) -> None:
    _write(tmp_path, "quiz.jsonl", [{"q": ITEM}])
    part = " ".join(ITEM.split()[:30])
    output = _run(tmp_path, [{"doc_id": "part", "text": part}])
    assert output.ledger.kept.rows == 1
    (quiz,) = output.info["benchmarks"].values()
    assert (quiz["documents_touched"], quiz["documents_dropped"]) == (1, 0)
    assert _run_again(tmp_path, part, limit=0.01).ledger.kept.rows == 0


def _run_again(tmp_path: Path, text: str, **config: Any) -> StageOutput:
    folder = tmp_path / "again"
    folder.mkdir()
    (folder / "bench").symlink_to(tmp_path / "bench")
    return _run(folder, [{"doc_id": "part", "text": text}], **config)


def test_no_documents_and_one_id_twice_lose_nothing(tmp_path: Path) -> None:
    _write(tmp_path, "quiz.jsonl", [{"q": ITEM}])
    rows = [{"doc_id": "d", "text": ITEM}, {"doc_id": "d", "text": prose(8)}]
    output = _run(tmp_path, rows, limit=1.0)  # at the limit is contaminated
    assert [row["text"] for row in rows_of(tmp_path, output, "data")] == [prose(8)]
    assert output.ledger.dropped["contaminated"].rows == 1
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "bench").symlink_to(tmp_path / "bench")
    assert _run(empty, []).ledger.entered.rows == 0


def test_items_of_every_form_keep_their_ids(tmp_path: Path) -> None:
    _write(tmp_path, "a.jsonl.gz", [{"id": "x", "q": "why", "choices": ["one", "two"]}])
    _write(tmp_path, "b.jsonl.zst", [{"first": "left", "second": "right"}])
    _write(tmp_path, "c.json.gz", [{"data": [{"paragraphs": [{"context": "nested"}]}]}])
    pq.write_table(pa.table({"q": ["row"]}), tmp_path / "bench" / "d.parquet")
    (tmp_path / "bench" / "e.txt").write_text("first line\n\nthird line\n")
    found = _read(
        tmp_path,
        a={"files": "a.*", "fields": ["q", "choices"], "id": "id"},
        b={"files": "b.*", "fields": ["first+second"]},
        c={"files": "c.*", "fields": ["data.paragraphs.context"]},
        d={"files": "d.*", "fields": ["q"]},
        e={"files": "e.*"},
    )
    assert [tuple(item) for item in found.items] == [
        ("a", "x", "q", "why"),
        ("a", "x", "choices[0]", "one"),
        ("a", "x", "choices[1]", "two"),
        ("b", "b.jsonl.zst:1", "first+second", "left\nright"),
        ("c", "c.json.gz:1.data[0].paragraphs[0]", "context", "nested"),
        ("d", "d.parquet:0", "q", "row"),
        ("e", "e.txt:1", "line", "first line"),
        ("e", "e.txt:3", "line", "third line"),
    ]
    assert found.records == {"a": 1, "b": 1, "c": 1, "d": 1, "e": 2}


def test_an_array_of_objects_is_items_from_0(tmp_path: Path) -> None:
    path = _write(tmp_path, "poems.json", [])
    path.write_text(json.dumps([{"q": "one"}, {"other": 1}, {"q": "three"}], indent=1))
    found = _read(tmp_path, "jsonl", poems={"files": "*", "fields": ["q"]})
    assert [item.item for item in found.items] == ["poems.json:0", "poems.json:2"]
    assert found.lacking == {"poems": {"q": 1}}


@pytest.mark.parametrize(
    ("rows", "config", "message"),
    [
        ([], {"fields": ["q"]}, "holds no item; an empty benchmark protects from nothing"),
        ([{"quest": "x"}], {"fields": ["ques"]}, r"no text under 'ques': .*did you mean 'quest'"),
        ([{"q": "x"}], {}, "no text under 'no field at all'"),
        ([{"q": "x", "n": 1}] * 2, {"fields": ["q"], "id": "n"}, r"'1' stands at .*:1 and at .*:2"),
        ([{"q": "x"}], {"fields": ["q"], "id": "n"}, "no text under 'n'"),
        (["x"], {"fields": ["q"]}, "record 1 is no JSON object: a str"),
        ([{"q": "x"}], {"files": "quizz*", "fields": ["q"]}, "belongs to no benchmark"),
    ],
)
def test_a_benchmark_that_cannot_be_searched_for_is_refused(
    tmp_path: Path, rows: list[Any], config: dict[str, Any], message: str
) -> None:
    _write(tmp_path, "quiz.jsonl", rows)
    with pytest.raises(InputError, match=message):
        _read(tmp_path, quiz={"files": "quiz.jsonl", **config})


def test_a_pattern_without_files_and_a_broken_file_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, "quiz.jsonl.gz", [{"q": prose(n)} for n in range(50)])
    quiz = {"files": "quiz.*", "fields": ["q"]}
    with pytest.raises(InputError, match=r"benchmarks\.other\.files: unknown file 'quix\.jsonl'"):
        _read(tmp_path, quiz=quiz, other={"files": "quix.jsonl"})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="the benchmark file is damaged"):
        _read(tmp_path, quiz=quiz)


def test_xquad_paragraphs_in_real_pages(tmp_path: Path, shared_data: Path) -> None:
    (tmp_path / "bench").mkdir()
    for path in (shared_data / "eval" / "xquad").glob("*.json.gz"):
        (tmp_path / "bench" / path.name).symlink_to(path)
    table = pq.read_table(
        shared_data / "corpus/text/wiki_mixed.shared.parquet", columns=["id", "text", "source"]
    )
    rows = [
        {"doc_id": row["id"], "text": row["text"], "source": row["source"]}
        for row in table.to_pylist()
        if row["source"].startswith("xquad") or row["source"] == "wikitext-2"
    ]
    fields = {"files": "xquad.*.json.gz", "fields": ["data.paragraphs.context"]}
    output = _run(tmp_path, rows, benchmarks={"xquad": fields})
    dropped = rows_of(tmp_path, output, "rejects")
    assert {row["source"] for row in dropped} == {"xquad (wikipedia)"}
    assert len(dropped) == sum(row["source"].startswith("xquad") for row in rows) == 1440
    counts = output.info["benchmarks"]["xquad"]
    # 240 paragraphs in 6 of the 7 languages that are here: the corpus has no Chinese ones.
    assert (counts["items"], counts["items_contaminating"]) == (7 * 240, 6 * 240)
