import time
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ftfy import fix_encoding
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters.edits.edited import Edited
from filters.edits.unicode_repair import UnicodeRepair
from tests.filters.texts import any_text, crafted_text


def apply(*texts: str, **settings: object) -> Edited:
    edit = UnicodeRepair.model_validate(settings)
    return edit.apply(pa.table({"text": pa.array(texts, pa.large_string())}))


@pytest.mark.parametrize(
    ("text", "repaired", "kind", "count"),
    [
        ("The cafÃ© is open\nand cheap", "The café is open\nand cheap", "encoding", 1),
        ("donâ€™t", "don’t", "encoding", 1),
        ("voilÃ le travail", "voilà le travail", "encoding", 1),  # 0xA0 became a space
        ("\x1b[31mred\x1b[0m", "red", "terminal_escape", 2),
        ("a\0b\0c", "abc", "nul", 2),
        ("a\x08b\ufeff\x7f", "ab", "control", 3),
        ("a\r\nb\rc\u2028d\fe", "a\nb\nc\nd\ne", "line_break", 4),
        ("cafe\u0301", "café", "nfc", 1),
    ],
)
def test_damage_is_repaired_and_counted(text: str, repaired: str, kind: str, count: int) -> None:
    edited = apply(text, "Nothing is wrong here: naïve 中文 “quotes” ﬁ ½ &amp;\t\n")
    assert edited.texts[0].as_py() == repaired
    (change,) = edited.changes.to_pylist()
    assert (change["row"], change["kind"], change["count"]) == (0, kind, count)
    assert change["lines"] is None


def test_only_the_named_repairs_are_made() -> None:
    assert apply("a\0\r\n", repairs=["nul"]).texts.to_pylist() == ["a\r\n"]


def test_no_repair_at_all_is_an_error() -> None:
    with pytest.raises(ValidationError, match="found no repair; name some of encoding"):
        UnicodeRepair(repairs=())


mangled = any_text.map(lambda text: text.encode().decode("windows-1252", "replace"))
every_text = st.one_of(any_text, crafted_text, mangled)


@given(every_text)
def test_a_second_time_changes_nothing(text: str) -> None:
    once = apply(text).texts
    again = UnicodeRepair().apply(pa.table({"text": once}))
    assert again.texts == once
    assert again.changes.num_rows == 0


@given(st.lists(every_text, max_size=4))
def test_edited_bytes_add_up(texts: list[str]) -> None:
    edited = apply(*texts)
    sizes = [len(text.encode()) for text in texts]
    for change in edited.changes.to_pylist():
        sizes[change["row"]] += change["added"] - change["removed"]
    assert pc.binary_length(edited.texts).to_pylist() == sizes


@given(every_text)
def test_what_is_left_alone_needs_no_repair(text: str) -> None:
    """The vectorised search for candidates misses nothing that a repair would change."""
    if apply(text).changes.num_rows:
        return
    assert "".join(fix_encoding(line) for line in text.splitlines(keepends=True)) == text
    assert unicodedata.is_normalized("NFC", text)
    assert not set(text) & set("\0\x07\x1b\x7f\x9f\r\u2028\ufeff")


@pytest.mark.parametrize("poison", ["Ã©", "â€", "\x1b[", "e\u0301", "\r", "\0"])
def test_half_a_megabyte_of_poison_ends_soon(poison: str) -> None:
    begin = time.process_time()
    apply(poison * (500_000 // len(poison.encode())))
    assert time.process_time() - begin < 10  # quadratic would take an hour
