"""Which documents are copies, what stays, and the evidence of it."""

import random
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.dedup import MinHash
from pipelines import schemas
from pipelines.dedup.layout import Sizes
from pipelines.errors import InputError
from tests.support.corpora import artifact, dated, dedup, evidence, read, rows_of
from tests.support.documents import prose

LONG = prose(1, words=120)
NEAR = LONG.replace("water", "waters", 1)


def dropped(
    texts: Mapping[str, str],
    *,
    order: int = 0,
    per_unit: int = 100,
    partition: int = 250_000,
    **config: Any,
) -> dict[str, tuple[str, str, float]]:
    """Return id -> (rule, copy of, value) for texts in some order and some layout."""
    items = rows_of(texts)
    random.Random(order).shuffle(items)
    units = [items[at : at + per_unit] for at in range(0, len(items), per_unit)]
    with TemporaryDirectory() as folder:
        documents = artifact(Path(folder) / "in", units)
        output = dedup(
            Path(folder) / "out",
            {"documents": documents},
            config,
            sizes=Sizes(rows=partition, fan_in=2),
        )
        found = read(Path(folder) / "out", output, "rejects")
        kept = read(Path(folder) / "out", output, "data")
    assert kept.keys() | found.keys() == texts.keys()
    assert {row["duplicate_of"] for row in found.values()} <= kept.keys()
    return {i: (row["rule"], row["duplicate_of"], row["value"]) for i, row in found.items()}


def test_an_exact_copy_names_the_one_that_stays() -> None:
    found = dropped({"b": LONG, "a": LONG, "c": prose(2)})
    assert found == {"b": ("duplicate_exact", "a", 2.0)}


def test_a_near_copy_carries_its_true_jaccard_and_the_longest_stays() -> None:
    found = dropped({"a": LONG, "b": NEAR, "c": prose(2)})
    assert found == {"a": ("duplicate_minhash", "b", MinHash().jaccard(LONG, NEAR))}
    assert 0.8 <= found["a"][2] < 1


def test_a_copy_of_a_near_copy_names_what_stays() -> None:
    found = dropped({"a": LONG, "b": NEAR, "c": LONG})
    assert found["c"] == ("duplicate_exact", "b", 2.0)
    assert found["a"][:2] == ("duplicate_minhash", "b")


def test_below_the_threshold_nothing_is_dropped() -> None:
    assert dropped({"a": LONG, "b": NEAR}, threshold=1.0) == {}


def test_the_exact_method_leaves_near_copies() -> None:
    assert set(dropped({"a": LONG, "b": NEAR, "c": NEAR}, method="exact")) == {"c"}


def test_an_excerpt_is_a_copy_by_containment_only() -> None:
    words = LONG.split()
    texts = {"whole": LONG, "part": " ".join(words[: len(words) * 3 // 4])}
    family = {"bands": 56, "rows": 2, "threshold": 0.9}
    assert dropped(texts, **family) == {}
    assert dropped(texts, verify="containment", **family) == {
        "part": ("duplicate_minhash", "whole", MinHash().containment(*texts.values()))
    }


def test_shingles_of_characters_see_what_words_do_not() -> None:
    texts = {"a": "".join(map(chr, range(0x4E00, 0x4E80))), "b": LONG}
    texts["c"] = texts["a"].replace("丐", "x")  # one Han letter of 128
    of_characters = {"shingle_of": "characters", "shingle": 3, "permutations": 128}
    assert set(dropped(texts, **of_characters, threshold=0.9)) == {"c"}


def test_every_pair_that_was_compared_is_on_record(tmp_path: Path) -> None:
    documents = artifact(tmp_path / "in", [rows_of({"a": LONG, "b": NEAR, "c": prose(2)})])
    output = dedup(tmp_path / "out", {"documents": documents}, {"threshold": 1.0})
    [row] = evidence(tmp_path / "out", output, "verify")
    assert (row["left"], row["right"], row["copies"]) == ("b", "a", False)
    assert row["jaccard"] == MinHash().jaccard(LONG, NEAR)
    assert row["containment"] == MinHash().containment(LONG, NEAR)
    assert 1 <= row["bands"] <= 14
    assert output.metrics["pairs_compared"] == 1
    assert output.metrics["pairs_confirmed"] == 0
    assert output.info["found_at_threshold"] == 1


@settings(max_examples=5)
@given(st.integers(0, 10**6), st.sampled_from([2, 5, 21]), st.sampled_from([5, 10**6]))
def test_order_units_and_partitions_do_not_matter(order: int, per_unit: int, rows: int) -> None:
    texts = {f"d{i}": prose(i % 7) + (" end" if i % 3 else "") for i in range(21)}
    plain = dropped(texts)
    assert len(plain) == 14
    assert dropped(texts, order=order, per_unit=per_unit, partition=rows) == plain


def test_what_stays_has_no_copies_left() -> None:
    texts = {f"d{i}": prose(i % 7) + (" end" if i % 3 else "") for i in range(21)}
    gone = dropped(texts)
    assert dropped({i: text for i, text in texts.items() if i not in gone}) == {}


@pytest.mark.parametrize(
    ("policy", "stays"),
    [
        ({}, "longest"),
        ({"keep": "score", "score_column": "quality"}, "best"),
        ({"keep": "earliest"}, "oldest"),
        ({"keep": "earliest", "date_field": "crawled"}, "best"),  # no dates: the first source
        ({"keep": "preferred_sources", "preferred_sources": ["z", "b"]}, "oldest"),
    ],
)
def test_the_policy_says_what_stays(tmp_path: Path, policy: dict[str, Any], stays: str) -> None:
    rows = [
        {"doc_id": "best", "text": LONG, "quality": 0.9, "source": "a", "metadata": "{}"},
        {"doc_id": "longest", "text": NEAR, "quality": None, "source": "b",
         "metadata": dated("2021-05-01")},
        {"doc_id": "oldest", "text": LONG, "quality": 0.1, "source": "z",
         "metadata": dated("2019-05-01T10:00:00+02:00")},
    ]  # fmt: skip
    documents = artifact(tmp_path / "in", [rows[:1], rows[1:]])
    output = dedup(tmp_path / "out", {"documents": documents}, policy)
    assert set(read(tmp_path / "out", output, "data")) == {stays}


def test_a_score_column_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    documents = artifact(tmp_path / "in", [rows_of({"a": LONG, "b": LONG})])
    config = {"keep": "score", "score_column": "grade"}
    with pytest.raises(InputError, match=r"no column 'grade'; allowed: .*text"):
        dedup(tmp_path / "out", {"documents": documents}, config)


def test_a_document_whose_id_stands_twice_is_decided_by_itself(tmp_path: Path) -> None:
    rows = [*rows_of({"a": LONG}), *rows_of({"a": prose(2), "b": LONG})]
    documents = artifact(tmp_path / "in", [rows])
    output = dedup(tmp_path / "out", {"documents": documents})
    assert output.ledger.kept.rows == 2
    assert read(tmp_path / "out", output, "data")["a"]["text"] == prose(2)


@pytest.mark.parametrize("texts", [[], ["one"], ["", ""], ["?!", "!?"]])
def test_few_documents(tmp_path: Path, texts: list[str]) -> None:
    documents = artifact(tmp_path / "in", [rows_of({str(i): t for i, t in enumerate(texts)})])
    output = dedup(tmp_path / "out", {"documents": documents})
    assert output.ledger.kept.rows == len(set(texts))


def test_no_units_at_all(tmp_path: Path) -> None:
    output = dedup(tmp_path / "out", {"documents": artifact(tmp_path / "in", [])})
    assert output.ledger.entered.rows == 0
    assert output.info["alarms"] == []


def test_one_text_a_hundred_thousand_times(tmp_path: Path) -> None:
    ids = [f"{number:06}" for number in range(100_000)]
    units = [rows_of(dict.fromkeys(ids[at : at + 50_000], LONG)) for at in (0, 50_000)]
    documents = artifact(tmp_path / "in", units)
    output = dedup(tmp_path / "out", {"documents": documents}, {"max_cluster": 200_000})
    assert output.ledger.kept.rows == 1
    assert set(read(tmp_path / "out", output, "data")) == {"000000"}
    assert output.metrics["largest_cluster"] == 100_000


def test_unicode_is_compared_as_it_stands_and_normalised(tmp_path: Path) -> None:
    """Exact: byte by byte. Near: accents, case and digits fold; scripts of Chinese do not."""
    accented = "Über die Wälder und Höhen zieht der große Fluß im März an Städten vorüber. " * 3
    chinese = "漢語書寫的歷史與語言學習的關係" * 4
    texts = {
        "composed": accented,
        "decomposed": unicodedata.normalize("NFD", accented),
        "traditional": chinese,
        "simplified": chinese.translate(
            str.maketrans("漢語書寫歷與學習關係", "汉语书写历与学习关系")
        ),
    }
    assert dropped(texts, method="exact") == {}
    assert {i: row[1] for i, row in dropped(texts).items()} == {"composed": "decomposed"}


def test_rejects_are_documents_with_a_verdict(tmp_path: Path) -> None:
    documents = artifact(tmp_path / "in", [rows_of({"a": LONG, "b": NEAR, "c": LONG, "e": ""})])
    output = dedup(tmp_path / "out", {"documents": documents})
    rejects = read(tmp_path / "out", output, "rejects")
    assert set(rejects) == {"a", "c"}
    assert rejects["a"]["stage"] == "unique"
    assert rejects["a"]["limit"] == 0.8
    assert rejects["a"]["feature"] == "jaccard"
    assert set(schemas.DROPPED.names) <= set(rejects["a"])
    assert set(output.ledger.dropped) == {"duplicate_exact", "duplicate_minhash"}
