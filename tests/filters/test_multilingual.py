"""One rule set for a mixed corpus: each document is judged by the rules for what it is."""

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filters import RuleSet, fineweb2
from filters.errors import FilterError
from filters.language import LanguageIdentifier
from filters.rule_sets import CODE, FINEWEB, GOPHER, GOPHER_REPETITION, MATH
from tests.filters.texts import PROSE

MIX = RuleSet.named("multilingual")
LIMITS = {rule.name: rule for rule in MIX.rules}
ENGLISH = PROSE + " The end of it. And more. And that.\n"
CHINESE = (
    "清晨的雨停了以后，老张推开店门，把昨夜没卖完的馒头摆在桌上。\n"
    "街上还没有什么人，只有一个孩子背着书包，慢慢地朝学校走去。\n"
    "他问孩子吃过早饭没有，孩子摇摇头，说妈妈今天要到医院上班。\n"
    "于是两人坐在门口，一边喝热茶，一边看着太阳从屋顶后面升起来。\n"
)
SOURCE = "def add(left, right):\n    return {left[0]: right[1]}\n" * 9
FORMULAS = (
    r"Let \alpha \in X be the \sum of the \beta and that \gamma have a \lim with \delta. " * 9
)


def _judged(text: str, language: str, score: float = 0.95) -> str | None:
    return MIX.explain(text, language, score).rule


def test_each_kind_of_document_is_kept_by_its_own_rules() -> None:
    assert _judged(ENGLISH, "en") is None
    assert _judged(CHINESE, "zh") is None
    assert _judged(SOURCE, "en", 0.2) is None
    assert _judged(FORMULAS, "en", 0.2) is None
    assert MIX.explain(SOURCE, "en", 0.2).statistics["route"] == "code"
    assert MIX.explain(FORMULAS, "en", 0.2).statistics["route"] == "math"


@pytest.mark.parametrize(
    ("text", "language", "score", "rule"),
    [
        (ENGLISH, "en", 0.64, "language_score"),
        (CHINESE, "zh", 0.68, "language_score"),
        ("The end of it and that.", "en", 0.9, "gopher_short_doc"),
        (ENGLISH.replace(".", ""), "en", 0.9, "too_few_sentences"),
        ("茶" + "看着人从门前走过" * 30, "zh", 0.9, "top_4_gram"),
        (SOURCE * 9 + "x" * 1001, "en", 0.2, "code_long_line"),
        (r"\alpha \in X. " * 30, "en", 0.2, "math_few_stop_words"),
        (ENGLISH, "eml", 0.9, "no_limits_for_language"),
    ],
)
def test_each_is_dropped_by_the_rules_of_its_own(
    text: str, language: str, score: float, rule: str
) -> None:
    explained = MIX.explain(text, language, score)
    assert rule in {finding.rule for finding in explained.findings if finding.failed}


def test_limits_are_those_of_the_sets_it_is_made_of() -> None:
    for rule in (*GOPHER_REPETITION, *GOPHER[:-1], *FINEWEB):
        assert LIMITS[rule.name].limits["eng_Latn"] == rule.limit
        assert (LIMITS[rule.name].feature, LIMITS[rule.name].drop) == (rule.feature, rule.drop)
    for route, table in (("code", CODE), ("math", MATH)):
        assert all(LIMITS[rule.name].limits == {route: rule.limit} for rule in table)
    for rule in fineweb2.family():
        limits = LIMITS[rule.name].limits
        assert limits.items() >= rule.limits.items()
        assert set(limits) - set(rule.limits) <= {"eng_Latn", "code", "math"}
    assert {rule.by for rule in MIX.rules} == {"route"}
    assert LIMITS["no_limits_for_language"].limits["code"] == -math.inf


def test_a_text_that_says_nothing_of_its_language_needs_to_be_told() -> None:
    with pytest.raises(FilterError, match="language_score"):
        MIX.explain(ENGLISH)


def test_a_mixed_table_is_judged_row_by_row_as_alone() -> None:
    texts = [ENGLISH, CHINESE, SOURCE, FORMULAS, "short"]
    table = pa.table(
        {
            "doc_id": list("abcde"),
            "text": texts,
            "language": ["en", "zh", "en", "en", "en"],
            "language_score": [0.9, 0.9, 0.2, 0.2, 0.9],
        }
    )
    kept, dropped = MIX.judge(table)
    assert kept["doc_id"].to_pylist() == list("abcd")
    assert dropped["doc_id"].to_pylist() == ["e"]


def test_the_corpora_go_by_the_rules_made_for_them(shared_data: Path) -> None:
    folder = shared_data / "corpus/text"
    routes = {}
    for name in ("code", "math_tex", "zh_wiki", "en_books"):
        table = pq.read_table(folder / f"{name}.shared.parquet", columns=["text"]).slice(0, 60)
        found = LanguageIdentifier.bundled().identify(table["text"])
        documents = table.add_column(0, "doc_id", pa.array(map(str, range(table.num_rows))))
        for column, values in zip(("language", "language_score"), found, strict=True):
            documents = documents.append_column(column, values)
        counts = MIX.statistics(documents)["route"].to_pylist()
        routes[name] = max(set(counts), key=counts.count)
    assert routes == {
        "code": "code", "math_tex": "math", "zh_wiki": "cmn_Hani", "en_books": "eng_Latn",
    }  # fmt: skip
