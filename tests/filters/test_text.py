import pyarrow as pa
import pytest
from hypothesis import given

from filters.errors import FilterError
from filters.kernels import characters
from filters.text import TextBatch
from tests.filters import oracle
from tests.filters.texts import any_text, crafted_text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't stop -- it's 3.14, really...", "don't stop -- it's 3.14 , really ..."),
        ("well-known snake_case U.S. 1,000.5", "well - known snake_case U . S . 1,000.5"),
        ("rock 'n' roll o''clock", "rock ' n ' roll o '' clock"),
        ("自然言語処理を学ぶ。", "自 然 言 語 処 理 を 学 ぶ 。"),
        ("ラーメン屋", "ラーメン 屋"),
        ("한국어 텍스트입니다.", "한국어 텍스트입니다 ."),
        ("ภาษาไทย", "ภ า ษ า ไ ท ย"),
        ("ที่นี่", "ที่ นี่"),
        ("e\u0301te\u0301 \u0301x", "e\u0301te\u0301 \u0301 x"),
        ("##!!?", "## !! ?"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert TextBatch.of_text(text).words(0) == words.split(" ")


@given(any_text)
def test_words_of_any_text_are_those_of_the_grammar(text: str) -> None:
    assert TextBatch.of_text(text).words(0) == oracle.words(text)


@given(crafted_text)
def test_words_of_crafted_text_are_those_of_the_grammar(text: str) -> None:
    assert TextBatch.of_text(text).words(0) == oracle.words(text)


def test_every_assigned_character_has_the_class_of_its_script() -> None:
    letters = " wskey"
    table = characters.table()
    wrong = [
        f"U+{code:04X}"
        for code in range(0x323B0)
        if not 0xD800 <= code < 0xE000
        and letters[table[code] & characters.CLASS] != oracle.word_class(chr(code))
    ]
    assert wrong == []


def test_a_slice_of_an_array_is_read_from_its_own_offset() -> None:
    texts = pa.array(["first", "one two", "last"], pa.large_string()).slice(1, 1)
    assert TextBatch.of(texts).words(0) == ["one", "two"]


def test_a_null_is_an_error_that_names_the_row() -> None:
    with pytest.raises(FilterError, match=r"row 1 has no text .*fill them"):
        TextBatch.of(pa.array(["a", None]))


def test_another_type_is_an_error() -> None:
    with pytest.raises(FilterError, match=r"type int64; allowed: string"):
        TextBatch.of(pa.array([1]))


def test_broken_utf8_is_read_without_leaving_the_text() -> None:
    broken = [b"\xf0\x9f", b"abc\xe2\x80", b"\xff\xff\xff\xff", b"\x80\x80 ok"]
    array = pa.array(broken, pa.large_binary()).cast(pa.large_string(), safe=False)
    batch = TextBatch.of(array)
    for index, content in enumerate(broken):
        spans = batch.word_spans(index)
        assert spans.min() >= 0
        assert spans.max() <= len(content)
