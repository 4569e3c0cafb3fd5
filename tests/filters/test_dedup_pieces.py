"""Paragraphs and lines: cut, hashed and taken out without touching what stays."""

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from filters.dedup import Pieces
from tests.filters.texts import any_text, crafted_text

TEXT = "First line here.\nSecond line here.\n\nNext paragraph.\n \t\nLast one."


@pytest.mark.parametrize(
    ("level", "places", "left"),
    [
        ("line", {1}, "First line here.\n\nNext paragraph.\n \t\nLast one."),
        ("line", {0}, "Second line here.\n\nNext paragraph.\n \t\nLast one."),
        ("paragraph", {0}, "Next paragraph.\n \t\nLast one."),
        ("paragraph", {1}, "First line here.\nSecond line here.\n\nLast one."),
        ("paragraph", {2}, "First line here.\nSecond line here.\n\nNext paragraph."),
        ("paragraph", {0, 1, 2}, ""),
        ("line", set(), TEXT),
    ],
)
def test_what_is_left(level: str, places: set[int], left: str) -> None:
    pieces = Pieces(level, least=1)  # type: ignore[arg-type]
    assert pieces.without(TEXT.encode(), places)[0].decode() == left


def test_a_piece_is_hashed_without_the_white_space_around_it() -> None:
    found = list(Pieces("line", least=5).hashes(b"  hello there \r\nab\nhello there"))
    assert found == [(place, xxhash.xxh3_128_digest(b"hello there")) for place in (0, 2)]


@given(crafted_text | any_text, st.sets(st.integers(0, 5)), st.sampled_from(["line", "paragraph"]))
def test_what_stays_is_the_other_pieces_in_order(text: str, places: set[int], level: str) -> None:
    pieces = Pieces(level, least=1)  # type: ignore[arg-type]
    data = text.encode()
    all_pieces = dict(pieces.hashes(data))
    left, removed = pieces.without(data, places)
    expected = [digest for place, digest in all_pieces.items() if place not in places]
    assert [digest for _, digest in pieces.hashes(left)] == expected
    for place, begin, end in removed:
        piece = data[begin:end].strip()
        assert (xxhash.xxh3_128_digest(piece) if piece else None) == all_pieces.get(place)
    left.decode()  # a cut goes through no character
