"""What is sent never changes, however the tokens settle."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llada.pieces import pieces
from llada.settled import SettledAnswer
from llada.tokenizer import Tokenizer
from tests.support.talkers import TEXTS

TOKENIZER = Tokenizer.train(TEXTS, vocab_size=330)
ENDS = (TOKENIZER.special.eos, TOKENIZER.special.eot)
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ids_lists = st.lists(st.integers(0, TOKENIZER.vocab_size - 1), max_size=30)


def settle(ids: list[int], at: list[int], **options: object) -> tuple[list[str], SettledAnswer]:
    answer = SettledAnswer(TOKENIZER, **{"ends": ENDS, "limit": len(ids), **options})  # type: ignore[arg-type]
    return [answer.settle(ids[:cut]) for cut in [*at, len(ids)]], answer


@patient
@given(ids=ids_lists.filter(bool), data=st.data())
def test_the_parts_are_the_whole(ids: list[int], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ids)), max_size=8)))
    stop = data.draw(st.lists(st.text("theat 猫\n", min_size=1, max_size=3), max_size=2))
    parts, grown = settle(ids, cuts, stop=stop)
    _, at_once = settle(ids, [], stop=stop)
    _, one_by_one = settle(ids, list(range(len(ids))), stop=stop)
    assert "".join(parts) == grown.text == at_once.text == one_by_one.text
    assert grown.reason == at_once.reason == one_by_one.reason
    assert not any(word in grown.text for word in stop)


@pytest.mark.parametrize(
    ("text", "stop", "sent"),
    [
        ("abcd", ["bc"], "a"),
        ("abab!", ["aba"], ""),
        ("xabcab", ["abd"], "xabcab"),
        ("a\nb", ["\n"], "a"),
    ],
)
def test_a_stop_string_ends_the_answer(text: str, stop: list[str], sent: str) -> None:
    ids = TOKENIZER.encode(text)
    parts, answer = settle(ids, list(range(len(ids))), stop=stop)
    assert "".join(parts) == sent
    assert answer.reason == ("length" if sent == text else "stop")


def test_half_a_character_waits() -> None:
    ids = TOKENIZER.encode("€")
    assert len(ids) == 3
    assert settle(ids, [1, 2])[0] == ["", "", "€"]


def test_the_end_is_found_before_the_limit() -> None:
    ids = [*TOKENIZER.encode("The"), ENDS[1], *TOKENIZER.encode("more")]
    _, answer = settle(ids, [])
    assert (answer.text, answer.reason) == ("The", "stop")


@patient
@given(text=st.text(), ids=ids_lists)
def test_pieces_are_the_text(text: str, ids: list[int]) -> None:
    found = pieces(TOKENIZER, TOKENIZER.encode(text))
    assert "".join(found) == text
    assert len(pieces(TOKENIZER, ids)) == len(ids)
    assert not any(a.endswith("\ufffd") and b for a, b in pairwise(found)) or "\ufffd" in text
