"""Texts that are quadratic, or worse, for others: measured in bounded work, and counted."""

import numpy as np
import pyarrow as pa
import pytest

from filters import features
from filters.features import MOST_BYTES

MEGABYTE = 1 << 20
POISON = {
    "one unbroken line": "x" * (MEGABYTE + 400_000),
    "brackets": "(;" * 300_000,
    "a million lines": "a\n" * MEGABYTE,
    "one word": "same " * 200_000,
    "combining marks": "a" + "\u0301" * 300_000,
    "right to left": "\u202e" + "שלום " * 100_000,
    "no break between Han": "深" * 300_000,
}


@pytest.mark.parametrize("words", ["unicode", "spacy"])
@pytest.mark.parametrize("name", POISON)
def test_poison_is_measured_whole(name: str, words: str) -> None:
    pytest.importorskip("spacy", reason="the extra `spacy` is not installed")
    text = POISON[name]
    (row,) = features.compute(pa.array([text]), words).to_pylist()
    assert row["characters"] == len(text)
    assert row["unmeasured_bytes"] == 0
    assert (row["chunk_cuts"] > 0) == (words == "spacy" and max(map(len, text.split())) > 256)


def test_a_text_beyond_the_limit_is_measured_by_its_beginning() -> None:
    text = "é" * (MOST_BYTES // 2) + " and the rest of it"
    short, cut = features.compute(pa.array(["short", "x" + text])).to_pylist()
    assert short["unmeasured_bytes"] == 0
    assert cut["unmeasured_bytes"] == len(("x" + text).encode()) - (MOST_BYTES - 1)
    assert cut["characters"] == MOST_BYTES // 2
    assert np.isclose(cut["alphabetic_character_ratio"], 1)
