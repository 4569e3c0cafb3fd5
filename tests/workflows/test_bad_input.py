"""A whole filtering job over everything that a crawl can hold: nothing ends it, nothing is lost."""

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import InputError
from pipelines.shards import read_table
from tests.support.documents import prose
from tests.support.reading import response, warc_gz, warc_record
from tests.support.runs import load, runner
from workflows import filtering
from workflows.artifact import Artifact
from workflows.errors import StageError
from workflows.lineage.documents import explain, explain_json, way_of

MEGABYTE = 1 << 20
ARABIC = f"{prose(1)} \u202eقال الحارس\u202c مرحبا {'e' + chr(0x301) * 40} ﷽"
PAGE = "<html><body><main><p>{0} Käse für 3 €.</p><p>{0}</p></main></body></html>"
REJECTED = {
    "utf8.jsonl": ("broken_record", "not UTF-8"),
    "nul.jsonl": ("broken_record", "a NUL character at 3"),
    "surrogate.jsonl": ("broken_record", "half of a surrogate pair"),
    "long.jsonl.gz": ("broken_record", "the line is longer than 67,108,864 bytes"),
    "bomb.jsonl.gz": ("broken_file", "a decompression bomb, not content"),
    "empty.txt": ("empty_text", ""),
    "empty.jsonl.gz": ("broken_file", "this one has 0 bytes"),
    "cut.warc.gz": ("broken_file", "the file ends within a gzip member"),
    "revisit.warc.gz": ("warc_revisit", ""),
}
"""File -> the rule and the error of the one record in it that is no document."""


def _lines(*documents: object) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in documents).encode()


def _gzip_of(pieces: Iterable[bytes]) -> bytes:
    return b"".join(gzip.compress(piece, 1, mtime=0) for piece in pieces)


def write_everything(folder: Path) -> int:
    """Write a file of each kind of bad input, good documents beside it; return how many of these.

    A file of a bad record holds a good one behind it, a damaged file one before.
    """
    good = [{"text": prose(number)} for number in range(20)]
    latin = "Content-Type: text/html; charset=latin1"  # which they are not
    pages = [response(PAGE.format(prose(30 + number)).encode(), latin) for number in range(2)]
    revisit = warc_record("revisit", b"HTTP/1.1 304 Not Modified\r\n\r\n", "application/http")
    files = {
        "utf8.jsonl": b'{"text": "caf\xe9"}\n' + _lines(good[0]),
        "nul.jsonl": _lines({"text": "abc\0def"}, good[1]),
        "surrogate.jsonl": b'{"text": "\\ud800"}\n' + _lines(good[2]),
        "long.jsonl.gz": _gzip_of([*[b"long " * (MEGABYTE // 5)] * 100, b"\n" + _lines(good[3])]),
        "bomb.jsonl.gz": _gzip_of([_lines(good[4])])
        + gzip.compress(b" " * MEGABYTE, 9, mtime=0) * 300,
        "empty.txt": b"",
        "empty.jsonl": b"",
        "empty.jsonl.gz": b"",
        "cut.warc.gz": warc_gz(pages)[:-40],
        "revisit.warc.gz": warc_gz([revisit, pages[1]]),
        "mixed.jsonl": _lines(good[5], {"content": prose(6), "n": 1}, {**good[7], "n": {"a": []}}),
        "ids.jsonl": _lines(*({**good[8], "id": 1, "doc_id": "same"},) * 2),
        "rtl.jsonl": _lines({"text": ARABIC}),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    pq.write_table(pa.table({"content": [prose(9)], "score": [1.5]}), folder / "mixed.parquet")
    return 5 + 1 + 1 + 3 + 2 + 1 + 1


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Artifact], int]:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "in").mkdir()
    good = write_everything(folder / "in")
    return _run(folder, {"rules": ["gopher"], "min_language_score": 0.1}), good


def _run(
    folder: Path, config: dict[str, object], broken_files: str = "set_aside"
) -> dict[str, Artifact]:
    text = filtering.recipe_text(
        [str(folder / "in")], folder / "out", config,
        dedup="none", workers=1, broken_files=broken_files,
    )  # fmt: skip
    (folder / "filter.yaml").write_text(text)
    recipe = load(folder / "filter.yaml")
    return {one.stage.name: one.artifact for one in runner(recipe).run(recipe).stages}


def test_every_good_document_is_kept_and_every_other_record_counted(
    done: tuple[dict[str, Artifact], int],
) -> None:
    artifacts, good = done
    text, clean = (artifacts[name].manifest.ledger.balance(name) for name in ("text", "clean"))
    assert text.kept.rows == good
    assert {rule: count.rows for rule, count in text.dropped.items()} == Counter(
        rule for rule, _ in REJECTED.values()
    )
    assert (clean.entered, clean.kept.rows) == (text.kept, good)


def test_ids_are_of_places_and_no_text_is_changed(done: tuple[dict[str, Artifact], int]) -> None:
    artifacts, good = done
    rows = [
        row for path in artifacts["clean"].as_input().paths("data")
        for row in read_table(path).to_pylist()
    ]  # fmt: skip
    assert len({row["doc_id"] for row in rows}) == good
    by_source = {row["source"]: row for row in rows}
    assert by_source["rtl.jsonl"]["text"] == ARABIC
    assert "Käse für 3 €." in by_source["revisit.warc.gz"]["text"]
    twins = [json.loads(row["metadata"]) for row in rows if row["source"] == "ids.jsonl"]
    assert [twin["doc_id"] for twin in twins] == ["same"] * 2


def test_each_reject_is_explained_by_its_own_error(
    done: tuple[dict[str, Artifact], int],
) -> None:
    artifact = done[0]["text"]
    paths = artifact.as_input().paths("rejects")
    rows = {row["source"]: row for path in paths for row in read_table(path).to_pylist()}
    assert rows.keys() == REJECTED.keys()
    for name, (rule, error) in REJECTED.items():
        steps = way_of(rows[name]["doc_id"], artifact.folder.parents[1])
        told = explain(steps)
        assert f"DROPPED  text (extract) @{artifact.manifest.digest[:8]} by rule {rule}" in told
        assert error in told
        assert error in explain_json(steps)[0].get("error", "")


def test_a_damaged_file_stops_the_job_where_that_was_asked(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl.gz").write_bytes(gzip.compress(_lines({"text": prose(1)}))[:-6])
    with pytest.raises((InputError, StageError), match="--broken-files set_aside"):
        _run(tmp_path, {}, "stop")


def test_a_job_that_keeps_nothing_has_every_document_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl").write_bytes(_lines(*({"text": prose(n)} for n in range(3))))
    config = {"rules": ["gopher"], "limits": {"gopher_short_doc": 5000}, "min_language_score": 0.1}
    clean = _run(tmp_path, config)["clean"]
    assert clean.manifest.ledger.kept.rows == 0
    assert filtering.shares(clean)[0] == filtering.RuleShare("gopher_short_doc", 3, 3, 3)
