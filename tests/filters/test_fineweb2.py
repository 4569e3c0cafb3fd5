"""FineWeb-2's limits: as published where words have spaces, told in tokens where they have none."""

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from filters import RuleSet, features, fineweb2

NUMBERS = {
    "line_punct_ratio": "line_punct_thr",
    "list_ratio": "new_line_ratio",
    "gopher_below_avg_threshold": "min_avg_word_length",
    "gopher_above_avg_threshold": "max_avg_word_length",
    "gopher_below_alpha_threshold": "max_non_alpha_words_ratio",
}
FIXED = {
    "char_dup_ratio": 0.1,
    "gopher_short_doc": 50,
    "gopher_long_doc": 100_000,
    "gopher_too_many_hashes": 0.1,
    "gopher_too_many_ellipsis": 0.1,
    "gopher_too_many_bullets": 0.9,
    "gopher_too_many_end_ellipsis": 0.3,
    "gopher_enough_stop_words": 2,
}
"""Defaults of datatrove that fineweb-2-pipeline.py leaves as they are, and its 0.1 and 2."""


def limits(language: str) -> dict[str, float]:
    return {rule.name: rule.limit for rule in fineweb2.rules_of(language)}


@pytest.mark.parametrize("language", ["deu_Latn", "rus_Cyrl", "hin_Deva", "kor_Hang", "bdq_Latn"])
def test_limits_are_the_published_ones_where_words_have_spaces(language: str) -> None:
    numbers = fineweb2.published()[language]
    found = limits(language)
    for rule, limit in found.items():
        assert limit == FIXED.get(rule, numbers.get(NUMBERS.get(rule, rule))), rule
    off = {"dup_line_frac"} if numbers["dup_line_frac"] == 0 else set()
    grams = {name for name in numbers if name.startswith(("top_", "duplicated_"))}
    assert set(found) == {*FIXED, *NUMBERS, *grams, "dup_line_frac"} - off


@pytest.mark.parametrize("script", fineweb2.UNSPACED)
def test_a_share_of_words_is_the_same_share_in_tokens(script: str) -> None:
    size = fineweb2.UNSPACED[script]
    for letters, marks in ((9, 1), (3, 1), (50, 50)):
        in_words = letters / (letters + marks)
        in_tokens = letters * size / (letters * size + marks)
        convert = fineweb2._IN_TOKENS["gopher_below_alpha_threshold"]
        assert convert(in_words, size) == pytest.approx(in_tokens)


def test_n_grams_of_words_are_held_against_as_long_ones_of_tokens() -> None:
    for language, pairs in {
        "cmn_Hani": {
            "top_4": "top_2",
            "duplicated_9": "duplicated_5",
            "duplicated_10": "duplicated_6",
        },
        "jpn_Jpan": {
            **{"top_3": "top_2", "top_4": "top_3", "duplicated_8": "duplicated_5"},
            **{"duplicated_9": "duplicated_6", "duplicated_10": "duplicated_7"},
        },
        "tha_Thai": {},
    }.items():
        numbers = fineweb2.published()[language]
        found = limits(language)
        grams = {name: limit for name, limit in found.items() if "gram" in name}
        assert grams == {_name(tokens): numbers[_name(words)] for tokens, words in pairs.items()}, (
            language
        )
        assert found["gopher_short_doc"] == 50 * fineweb2.UNSPACED[language[4:]]
        assert not {"gopher_below_avg_threshold", "gopher_above_avg_threshold"} & set(found)


def test_thai_prose_is_no_repetition_of_letters(shared_data: Path) -> None:
    """Five letters in a row come again in any Thai text; five words do not."""
    path = shared_data / "corpus/text/multi_flores.shared.parquet"
    table = pq.read_table(path, columns=["text", "lang"])
    sentences = table.filter(pc.equal(table["lang"], "tha_Thai"))["text"].to_pylist()
    texts = pa.array([" ".join(sentences[at : at + 20]) for at in range(0, len(sentences), 20)])
    rules = RuleSet.named("fineweb2/tha_Thai")
    statistics = features.compute(texts, languages=pa.array(["th"] * len(texts)))
    limit = fineweb2.published()["tha_Thai"]["duplicated_5_n_grams"]
    repeated = statistics["repeated_5_gram_character_ratio"].to_pylist()
    assert sum(value > limit for value in repeated) > len(texts) / 2
    assert rules.verdicts(statistics)["rule"].null_count >= 0.9 * len(texts)


def test_a_family_has_the_limits_of_its_languages() -> None:
    family = {rule.name: rule for rule in fineweb2.family()}
    for language in ("deu_Latn", "cmn_Hani", "tha_Thai"):
        found = limits(language)
        for name, rule in family.items():
            if name in ("no_limits_for_language", "language_score"):
                continue
            off = -math.inf if rule.drop == "below" else math.inf
            assert rule.limits[language] == found.get(name, off)


def _name(number: str) -> str:
    return f"{number}_gram" if number.startswith("top") else f"{number}_n_grams"
