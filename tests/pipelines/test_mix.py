import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import features
from pipelines import mix
from pipelines.checks import Expectations, Result, keep_share, ledger_balances, one_schema
from pipelines.checks import unique_copies as unique
from pipelines.errors import InputError
from pipelines.mix import MixConfig, draw, factors_of, report_table
from pipelines.tokenize import Packed
from pipelines.workspace import StageOutput
from tests.support.stages import documents, rows_of, workspace


def _rows(name: str, count: int, **more: str) -> list[dict[str, Any]]:
    return [
        {"doc_id": f"{name}{n}", "text": f"word {name} of {n:04d}", **more} for n in range(count)
    ]


def _run(tmp_path: Path, inputs: dict[str, list[dict[str, Any]]], **config: Any) -> StageOutput:
    made = {slot: documents(tmp_path, slot, rows) for slot, rows in inputs.items()}
    output = mix.run(workspace(tmp_path, made), MixConfig.model_validate(config))
    output.ledger.balance("out")
    return output


def test_shares_are_met_by_copies_and_by_a_sample(tmp_path: Path) -> None:
    inputs = {"web": _rows("w", 400), "books": _rows("b", 60)}
    config: dict[str, Any] = {"weights": {"web": 1, "books": 1}, "measure": "documents"}
    output = _run(tmp_path, inputs, **config, total=300)
    kept, dropped = rows_of(tmp_path, output, "data"), rows_of(tmp_path, output, "rejects")
    books = [row for row in kept if row["doc_id"].startswith("b")]
    assert {row["doc_id"] for row in books} == {f"b{n}" for n in range(60)}
    assert {row["copy"] for row in books} == {0, 1, 2}
    assert 130 <= len(books) <= 170
    assert 110 <= len(kept) - len(books) <= 190
    assert {row["rule"] for row in dropped} == {"downsampled"}
    for row in dropped:
        assert row["value"] == draw(row["doc_id"], 0) >= row["limit"] == 150 / 400
    ledger = output.ledger
    assert ledger.added.rows == len(books) - 60
    assert ledger.entered.rows + ledger.added.rows == ledger.kept.rows + ledger.dropped_total.rows
    assert output.info["groups"]["books"]["factor"] == 2.5
    assert output.info["groups"]["web"]["achieved_share"] == (len(kept) - len(books)) / len(kept)
    assert "books                       50.00%" in report_table(output.info)


def test_a_mix_passes_the_checks_of_its_kind_and_no_two_copies_are_neighbours(
    tmp_path: Path,
) -> None:
    config: dict[str, Any] = {"weights": {"a": 3, "b": 1}, "total": 400, "measure": "documents"}
    output = _run(tmp_path, {"a": _rows("a", 100, score="1"), "b": _rows("b", 100)}, **config)
    result = Result(tmp_path / "out", output, Expectations())
    for check in (ledger_balances, keep_share, unique, one_schema):
        assert check(result).ok, check(result)
    ids = [row["doc_id"] for row in rows_of(tmp_path, output, "data")]
    assert all(left != right for left, right in itertools.pairwise(ids))


def test_sizes_are_documents_bytes_and_the_tokens_of_the_filters(tmp_path: Path) -> None:
    texts = ["Don't split 3.14, please...", "漢字 and Latin", ""]
    rows = [{"doc_id": str(n), "text": text} for n, text in enumerate(texts)]
    output = _run(tmp_path, {"a": rows}, weights={"a": 1}, measure="tokens")
    tokens = sum(features.compute(pa.array(texts))["tokens"].to_pylist())
    size = sum(len(text.encode()) for text in texts)
    there = {"documents": 3, "bytes": size, "tokens": tokens}
    assert output.info["groups"]["a"]["there"] == output.info["groups"]["a"]["mixed"] == there


def test_without_a_total_the_scarcest_group_is_used_once(tmp_path: Path) -> None:
    inputs = {"web": _rows("w", 400), "books": _rows("b", 60)}
    output = _run(tmp_path, inputs, weights={"web": 1, "books": 1}, measure="documents")
    assert output.info["groups"]["books"]["factor"] == 1
    assert output.info["groups"]["web"]["factor"] == 60 / 400
    assert output.ledger.added.rows == 0


def test_one_input_is_split_by_a_column_and_the_rest_goes_together(tmp_path: Path) -> None:
    rows = [*_rows("e", 50, language="en"), *_rows("z", 50, language="zh"), *_rows("n", 10)]
    weights = {"en": 1, "zh": 0, "*": 1}
    output = _run(
        tmp_path, {"documents": rows}, weights=weights, by="language", measure="documents"
    )
    kept = [row["doc_id"][0] for row in rows_of(tmp_path, output, "data")]
    assert kept.count("n") == 10
    assert kept.count("z") == 0
    assert set(output.info["groups"]) == {"en", "zh", "*"}


@given(st.integers(0, 50), st.floats(0, 3.5))
def test_what_happens_to_a_document_hangs_on_factor_seed_and_id_alone(
    count: int, factor: float
) -> None:
    table = pa.Table.from_pylist(_rows("d", count), schema=_SCHEMA)
    groups = pa.array(["g"] * count, pa.string())
    kept, dropped = mix.sample(table, groups, {"g": factor}, 7)
    back = table.take(pa.array(range(count - 1, -1, -1), pa.int64()))
    again, _ = mix.sample(back, groups, {"g": factor}, 7)
    keys = [
        sorted(zip(t["doc_id"].to_pylist(), t["copy"].to_pylist(), strict=True))
        for t in (kept, again)
    ]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == kept.num_rows
    assert len({doc_id for doc_id, _ in keys[0]}) + dropped.num_rows == count
    more, _ = mix.sample(table, groups, {"g": factor + 0.25}, 7)
    assert set(keys[0]) <= set(
        zip(more["doc_id"].to_pylist(), more["copy"].to_pylist(), strict=True)
    )


def test_draws_fill_the_unit_interval_evenly() -> None:
    draws = sorted(draw(str(n), 1) for n in range(2000))
    assert max(abs(value - rank / 2000) for rank, value in enumerate(draws)) < 0.04


def _sizes(**documents_: int) -> dict[str, dict[str, int]]:
    return {n: {"documents": d, "bytes": 10 * d, "tokens": 2 * d} for n, d in documents_.items()}


@pytest.mark.parametrize(
    ("sizes", "weights", "total", "message"),
    [
        (
            _sizes(web=9, books=9),
            {"web": 1, "boks": 1},
            None,
            "'books' has 9 documents and no weight",
        ),
        (_sizes(web=9), {"web": 1, "weeb": 1}, None, "did you mean 'web'"),
        (
            _sizes(web=9, books=0),
            {"web": 1, "books": 1},
            None,
            "'books' has weight 1 and no documents",
        ),
        ({}, {"web": 1}, None, "the inputs hold no document"),
        (_sizes(web=9), {"web": 1}, 500, "would occur 5.56 times, allowed: 4"),
    ],
)
def test_impossible_mixes_are_refused(
    sizes: dict[str, dict[str, int]], weights: dict[str, float], total: int | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        factors_of(sizes, MixConfig(weights=weights, total=total))


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": float("nan")}])
def test_impossible_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MixConfig(weights=weights)


def test_one_document_through_two_inputs_is_found(tmp_path: Path) -> None:
    inputs = {"a": _rows("same", 5), "b": _rows("same", 5)}
    output = _run(tmp_path, inputs, weights={"a": 1, "b": 1}, measure="documents")
    found = unique(Result(tmp_path / "out", output, Expectations()))
    assert (found.ok, found.found) == (False, "5 copies twice")


def test_a_mix_of_a_mix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is a mix already"):
        _run(tmp_path, {"a": _rows("x", 3, copy="0")}, weights={"a": 1})


def test_token_shards_take_copies() -> None:
    packed = Packed(length=4, eos_id=0)
    packed.add_all(iter([("a", [1, 2]), ("b", [3, 4]), ("a", [1, 2])]))
    assert packed.doc_ids == [["a", "b"], ["b", "a"], ["a"]]


_SCHEMA = mix.schemas.DOCUMENT
