import os
import subprocess
import sys
import time
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import features
from filters.errors import FilterError
from tests.filters import oracle
from tests.filters.texts import ODD_TEXTS, PROSE, any_text, crafted_lines, crafted_text

POISON = {
    "letters": "a" * 1_000_000,
    "dots": "." * 1_000_000,
    "apostrophes": "a'" * 500_000,
    "newlines": "\n" * 1_000_000,
    "han": "字" * 333_333,
    "marks": "\u0301" * 500_000,
    "words": "ab " * 333_333,
}


scripts = st.sampled_from(
    [None, "eng_Latn", "deu_Latn", "jpn_Jpan", "tha_Thai", "lao_Laoo", "bod_Tibt", "bdq_Latn"]
)


@given(st.lists(st.tuples(any_text | crafted_text | crafted_lines, scripts), max_size=4))
def test_statistics_equal_the_oracle(cases: list[tuple[str, str | None]]) -> None:
    texts = pa.array([text for text, _ in cases], pa.large_string())
    languages = pa.array([script for _, script in cases], pa.string())
    for row, (text, script) in zip(
        features.compute(texts, languages=languages).to_pylist(), cases, strict=True
    ):
        assert_equal(row, oracle.statistics(text, script))


@given(
    st.lists(any_text | crafted_text | crafted_lines, max_size=3),
    st.sets(st.sampled_from(features.SCHEMA.names), min_size=1, max_size=6),
)
def test_statistics_that_are_asked_for_are_those_of_all(texts: list[str], names: set[str]) -> None:
    arrays = pa.array(texts, pa.large_string()), pa.array(["th"] * len(texts), pa.string())
    every = features.compute(arrays[0], languages=arrays[1])
    asked = features.compute(arrays[0], languages=arrays[1], names=names)
    assert asked.column_names == [name for name in features.SCHEMA.names if name in names]
    assert asked.equals(every.select(asked.column_names))


def test_every_statistic_alone_equals_the_oracle() -> None:
    text = (PROSE + "\n\n• the same line again...\n") * 2 + "\\frac{1} #"
    expected = oracle.statistics(text, "eng_Latn")
    texts, languages = pa.array([text]), pa.array(["en"])
    for name in features.SCHEMA.names:
        (row,) = features.compute(texts, languages=languages, names=[name]).to_pylist()
        assert row == {name: expected[name]}


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_equal_the_oracle(text: str) -> None:
    (row,) = features.compute(pa.array([text], pa.large_string())).to_pylist()
    assert_equal(row, oracle.statistics(text))


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sorted(found) == sorted(expected)
    wrong = {name: (found[name], value) for name, value in expected.items() if found[name] != value}
    assert wrong == {}


def test_chunks_and_types_of_arrow_do_not_matter() -> None:
    texts = [PROSE, "", "\x00 \x00", "第一章"]
    whole = features.compute(pa.array(texts, pa.large_string()))
    assert features.compute(pa.chunked_array([texts[:1], texts[1:]])).equals(whole)
    assert features.compute(pa.array(texts)).slice(1).equals(whole.slice(1))


def test_no_texts_give_no_rows_of_the_same_schema() -> None:
    assert features.compute(pa.array([], pa.string())).schema == features.SCHEMA
    assert features.compute(pa.chunked_array([], pa.string())).schema == features.SCHEMA


@pytest.mark.parametrize("name", POISON)
def test_an_unbroken_megabyte_takes_linear_time(name: str) -> None:
    features.compute(pa.array(["warm up the kernels"]))
    text = pa.array([POISON[name]], pa.large_string())
    begin = time.process_time()
    features.compute(text)
    assert time.process_time() - begin < 2  # 0.1 s on a quiet core; spaCy's words took 18 minutes


@pytest.mark.parametrize("words", ["spacey", "unicod"])
def test_an_unknown_word_definition_says_what_is_allowed(words: str) -> None:
    with pytest.raises(FilterError, match="allowed: spacy, unicode"):
        features.compute(pa.array(["x"]), words=words)


def test_an_unknown_statistic_says_what_is_allowed() -> None:
    with pytest.raises(FilterError, match=r"unknown statistic 'word'.*did you mean 'words'"):
        features.compute(pa.array(["x"]), names=["word"])


def test_importing_filters_leaves_numba_alone() -> None:
    code = "import sys, filters; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kernels_compile_where_no_cache_can_be_kept() -> None:
    code = (
        "from filters.kernels.compiled import compiled\n"
        "print(compiled(lambda x: x + 1)(1))"  # a lambda out of a string: no cache has a place
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": "/dev/null/nowhere", "HOME": "/dev/null"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "2", run.stderr
