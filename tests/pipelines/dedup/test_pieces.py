"""Paragraphs and lines that stand in several documents."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dedup.layout import Sizes
from pipelines.ledger import Change
from tests.support.corpora import artifact, dedup, evidence, published, read, rows_of
from tests.support.documents import prose

FOOTER = "All rights reserved by the makers of this page, 2019."
LINE: dict[str, Any] = {"method": "exact", "level": "line"}


def texts_of(out: Path, *units: dict[str, str], config: dict[str, Any]) -> dict[str, str]:
    documents = artifact(out / "in", [rows_of(unit) for unit in units])
    output = dedup(out / "out", {"documents": documents}, config, sizes=Sizes(rows=2))
    return {i: row["text"] for i, row in read(out / "out", output, "data").items()}


def test_a_line_stays_in_the_first_document_by_id(tmp_path: Path) -> None:
    one, two = {"b": f"{prose(1)}\n{FOOTER}"}, {"a": f"{FOOTER}\n{prose(2)}"}
    assert texts_of(tmp_path, one, two, config=LINE) == {"b": prose(1), **two}


def test_a_paragraph_of_several_lines_goes_as_a_whole(tmp_path: Path) -> None:
    shared = f"{prose(3)}\n{FOOTER}"
    texts = {"a": f"{prose(1)}\n\n{shared}", "b": f"{shared}\n\n{prose(2)}", "c": FOOTER}
    found = texts_of(tmp_path, texts, config={"method": "exact", "level": "paragraph"})
    assert found == {**texts, "b": prose(2)}


def test_short_pieces_and_repeats_in_one_document_are_left_alone(tmp_path: Path) -> None:
    texts = {"a": f"}}\n{FOOTER}\n{FOOTER}", "b": f"}}\n{prose(1)}"}
    assert texts_of(tmp_path, texts, config=LINE) == texts


def test_what_was_cut_is_counted_and_kept_as_evidence(tmp_path: Path) -> None:
    texts = {"a": f"{prose(1)}\n{FOOTER}", "b": f"{FOOTER}\n{prose(2)}", "c": f" {FOOTER}\n"}
    documents = artifact(tmp_path / "in", [rows_of(texts)])
    output = dedup(tmp_path / "out", {"documents": documents}, LINE)
    assert set(read(tmp_path / "out", output, "data")) == {"a", "b"}
    assert output.ledger.edited == {"dedup.repeated_line": Change(rows=1, removed=len(FOOTER) + 1)}
    assert output.ledger.dropped["repeated_lines_only"].rows == 1
    emptied = read(tmp_path / "out", output, "rejects")["c"]
    assert (emptied["text"], emptied["duplicate_of"]) == (texts["c"], "a")
    rows = evidence(tmp_path / "out", output, "00000")
    assert {(row["doc_id"], row["place"], row["kept_in"]) for row in rows} == {
        ("b", 0, "a"),
        ("c", 0, "a"),
    }
    for row in rows:
        assert texts[row["doc_id"]].encode()[row["begin"] : row["end"]].decode() == row["text"]


def test_lines_of_an_earlier_artifact_are_first(tmp_path: Path) -> None:
    earlier = artifact(tmp_path / "earlier", [rows_of({"z": FOOTER})])
    documents = artifact(tmp_path / "in", [rows_of({"a": f"{FOOTER}\n{prose(1)}"})])
    inputs = {"documents": documents, "against": published(tmp_path / "earlier", _output(earlier))}
    output = dedup(tmp_path / "out", inputs, LINE)
    assert read(tmp_path / "out", output, "data")["a"]["text"] == prose(1)


def _output(artifact: Any) -> Any:
    from pipelines.ledger import Ledger
    from pipelines.workspace import StageOutput

    return StageOutput(files=artifact.files, ledger=Ledger())


@settings(max_examples=6)
@given(st.integers(0, 10**6), st.sampled_from([2, 5, 12]), st.sampled_from([4, 10**6]))
def test_order_units_and_partitions_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, seed: int, per_unit: int, rows: int
) -> None:
    pieces = [f"{prose(number, 12)}" for number in range(8)]
    rng = random.Random(4)
    texts = {f"d{i}": "\n".join(rng.choices(pieces, k=4)) for i in range(12)}
    shuffled = rows_of(texts)
    random.Random(seed).shuffle(shuffled)
    results = []
    for items, size, partition in ((rows_of(texts), 12, 10**6), (shuffled, per_unit, rows)):
        out = tmp_path_factory.mktemp("pieces")
        units = [items[at : at + size] for at in range(0, len(items), size)]
        output = dedup(
            out / "out", {"documents": artifact(out / "in", units)}, LINE, sizes=Sizes(partition)
        )
        results.append(read(out / "out", output, "data"))
    assert results[0] == results[1]
    again = tmp_path_factory.mktemp("again")
    documents = artifact(again / "in", [list(results[0].values())])
    output = dedup(again / "out", {"documents": documents}, LINE)
    assert read(again / "out", output, "data") == results[0]  # nothing is left to take out
