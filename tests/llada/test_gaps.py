"""Gaps in a text: where they are, and how long."""

import pytest

from llada.errors import LladaError
from llada.gaps import with_gaps
from llada.tokenizer import Tokenizer
from tests.support.talkers import TEXTS

TOKENIZER = Tokenizer.train(TEXTS, vocab_size=330)
MASK = TOKENIZER.special.mask


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a[MASK]b", ["a", 4, "b"]),
        ("[MASK:2]", [2]),
        ("[MASK][MASK:1] x[MASK:10]", [4, 1, " x", 10]),
        ("[mask] [MASK:3] [MASK", ["[mask] ", 3, " [MASK"]),
        ("<|mdm_mask|>[MASK:1]", ["<|mdm_mask|>", 1]),
    ],
)
def test_the_text_between_gaps_stays(text: str, parts: list[str | int]) -> None:
    expected: list[int] = []
    for part in parts:
        expected += [MASK] * part if isinstance(part, int) else TOKENIZER.encode(part)
    assert with_gaps(text, TOKENIZER, default=4) == expected


@pytest.mark.parametrize(
    "text", ["", "no gap", "[MASK:0]", "[MASK:-1]", "[MASK:]", "[MASK:²]", "[MASK:99999999999]"]
)
def test_a_gap_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(LladaError, match=r"\[MASK:5\]"):
        with_gaps(text, TOKENIZER, default=4)
