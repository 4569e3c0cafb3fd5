import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import RuleSet, features
from filters.errors import FilterError
from filters.rules import VERDICT, Rule
from tests.filters.texts import PROSE, any_text, crafted_text

BOTH = ("gopher_repetition", "gopher")


def documents(*texts: str) -> pa.Table:
    return pa.table(
        {
            "doc_id": [f"d{index}" for index in range(len(texts))],
            "text": pa.array(texts, pa.large_string()),
            "url": pa.array([None] * len(texts), pa.string()),
        }
    )


@given(st.lists(any_text | crafted_text | st.just(PROSE), max_size=6))
def test_kept_and_dropped_are_all_rows_in_order(texts: list[str]) -> None:
    table = documents(*texts)
    kept, dropped = RuleSet.combined(BOTH).judge(table)
    assert kept.schema == table.schema
    assert dropped.column_names == [*table.column_names, *VERDICT.names]
    ids = kept["doc_id"].to_pylist() + dropped["doc_id"].to_pylist()
    assert sorted(ids) == sorted(table["doc_id"].to_pylist())
    assert ids == sorted(kept["doc_id"].to_pylist()) + sorted(dropped["doc_id"].to_pylist())
    assert dropped["rule"].null_count == 0


@given(st.lists(any_text | crafted_text | st.just(PROSE), max_size=4))
def test_a_verdict_is_the_first_failing_rule_with_its_value_and_limit(texts: list[str]) -> None:
    rules = RuleSet.combined(BOTH)
    statistics = features.compute(pa.array(texts, pa.large_string()))
    for verdict, row in zip(
        rules.verdicts(statistics).to_pylist(), statistics.to_pylist(), strict=True
    ):
        failed = [
            rule
            for rule in rules.rules
            if (row[rule.feature] < rule.limit and rule.drop == "below")
            or (row[rule.feature] > rule.limit and rule.drop == "above")
        ]
        first = failed[0] if failed else None
        assert verdict == {
            "rule": first and first.name,
            "feature": first and first.feature,
            "value": first and row[first.feature],
            "limit": first and first.limit,
            "failed_rules": [rule.name for rule in failed],
            "failed_values": [row[rule.feature] for rule in failed],
            "failed_limits": [rule.limit for rule in failed],
        }


def test_rules_on_the_language_alone_judge_rows() -> None:
    table = documents(PROSE, "").append_column("language_score", pa.array([0.5, 0.9]))
    kept, _ = RuleSet("sure", (Rule("sure", "language_score", "below", 0.7),)).judge(table)
    assert kept["doc_id"].to_pylist() == ["d1"]


def test_a_value_at_the_limit_is_kept() -> None:
    values = np.array([0.1, 0.2, 0.3, math.nan])
    assert Rule("r", "f", "above", 0.2).fails(values, 0.2).tolist() == [False, False, True, False]
    assert Rule("r", "f", "below", 0.2).fails(values, 0.2).tolist() == [True, False, False, False]


def test_the_order_of_the_sets_decides_the_reason() -> None:
    for names, reason in ((BOTH, "empty"), (BOTH[::-1], "gopher_short_doc")):
        _, dropped = RuleSet.combined(names).judge(documents(""))
        assert dropped["rule"].to_pylist() == [reason]
        assert set(dropped["failed_rules"].to_pylist()[0]) >= {"empty", "gopher_short_doc"}


def test_limits_move_without_the_text() -> None:
    statistics = features.compute(pa.array(["Seven words are too few for Gopher."]))
    short = RuleSet.named("gopher").verdicts(statistics)
    moved = RuleSet.combined(["gopher"], limits={"gopher_short_doc": 5}).verdicts(statistics)
    assert short["failed_rules"].to_pylist() == [["gopher_short_doc", "gopher_enough_stop_words"]]
    assert moved["rule"].to_pylist() == ["gopher_enough_stop_words"]
    assert moved.schema == VERDICT


def test_explanation_reads_as_a_table() -> None:
    explanation = RuleSet.named("gopher").explain("# # # the of")
    assert explanation.rule == "gopher_short_doc"
    assert not explanation.kept
    assert explanation.statistics["hash_ratio"] == 0.6
    table = str(explanation).splitlines()
    assert table[0] == "gopher: dropped by gopher_short_doc"
    assert table[2].split() == ["x", "gopher_short_doc", "words", "2", "<", "50"]
    assert table[6].split() == ["x", "gopher_too_many_hashes", "hash_ratio", "0.6", ">", "0.1"]
    assert len(table) == 2 + 10


def test_an_explanation_and_a_verdict_agree() -> None:
    rules = RuleSet.combined(BOTH)
    assert str(rules.explain(PROSE)).startswith("gopher_repetition+gopher: kept\n")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RuleSet.named("gophr"), "unknown rule set 'gophr'.*did you mean 'gopher'"),
        (lambda: RuleSet.named("gopher", words="spacey"), "allowed: spacy, unicode; did you mean"),
        (
            lambda: RuleSet.combined(BOTH, limits={"gopher_short_docs": 3}),
            "unknown rule .*'gopher_short_docs'.*did you mean 'gopher_short_doc'",
        ),
        (lambda: RuleSet.combined(["gopher", "gopher"]), "gopher_short_doc.* twice"),
        (
            lambda: RuleSet.combined(BOTH, limits={"empty": math.nan}),
            "limit of rule 'empty' is NaN; allowed",
        ),
        (
            lambda: RuleSet.named("gopher").explain("a\ud800"),
            "no valid Unicode: surrogates not allowed at character 1; decode it",
        ),
        (lambda: RuleSet.named("gopher").explain(5), "found int to explain; allowed: one text"),
        (
            lambda: RuleSet.named("fineweb2").explain("a", language="de"),
            "'fineweb2' judges by the language .*explain.text, language=.*identify tells both",
        ),
        (
            lambda: RuleSet.named("gopher").judge(pa.table({"text": ["a"]})),
            "lack the column doc_id .found: text.",
        ),
        (
            lambda: RuleSet.named("gopher").verdicts(pa.table({"words": [1]})),
            "needs the statistic 'mean_word_length'",
        ),
    ],
)
def test_errors_say_what_to_do(make, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        make()
