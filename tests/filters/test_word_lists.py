import math
import re
import time
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.errors import FilterError
from filters.word_lists import WordLists


@pytest.fixture
def lists(tmp_path: Path) -> WordLists:
    words = {"en": "darn\ndarn it all\nf***\n", "zh": "坏话\n", "de.txt": "böse\n"}
    for name, content in words.items():
        (tmp_path / name).write_text(content)
    return WordLists.read({name: tmp_path / name for name in words})


@pytest.mark.parametrize(
    ("text", "language", "count"),
    [
        ("Darn! darn darn, darn it all.", "en", 4),
        ("darned, gosdarn, darn_it, darné", "en", 0),
        ("f***", "en", 1),
        ("他说坏话了坏话", "zh", 2),
        ("BÖSE böses", "de", 1),
        ("darn", "de", 0),
        ("darn", "fr", math.nan),
        ("darn", None, math.nan),
    ],
)
def test_words_are_counted_in_their_language(
    lists: WordLists, text: str, language: str | None, count: float
) -> None:
    texts = pa.chunked_array(
        [pa.array(["none"], pa.large_string()), pa.array([text], pa.large_string())]
    )
    (_, found) = lists.count(texts, ["en", language])
    assert found == count or (math.isnan(found) and math.isnan(count))


def test_files_that_are_no_word_lists_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FilterError, match=r"'README.md'.*called after a language"):
        WordLists.read({"README.md": tmp_path})
    (tmp_path / "fr").write_bytes(b"m\xe9chant\n")
    with pytest.raises(FilterError, match=r"is not UTF-8.*convert the file"):
        WordLists.read({"fr": tmp_path / "fr"})


def test_an_empty_list_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "en").write_text("# nothing\n")
    assert WordLists.read({"en": tmp_path / "en"}).count(pa.array(["a"]), ["en"]).tolist() == [0]


def test_a_megabyte_of_poison_ends_soon(lists: WordLists) -> None:
    begin = time.process_time()
    lists.count(pa.array(["darn it al" * 100_000, "darn " * 200_000]), ["en", "en"])
    assert time.process_time() - begin < 5


_words = st.text("aibksßσςİıſK\u0307性 ", min_size=1, max_size=4).filter(str.strip)


@given(
    st.lists(_words, min_size=1, max_size=5), st.text("aAIibkKKsSßẞσΣςİıſ\u0307性 .", max_size=30)
)
def test_counts_are_those_of_a_plain_search_in_lower_case(words: list[str], text: str) -> None:
    listed = {word.strip().lower() for word in words}
    either = "|".join(sorted(map(re.escape, listed), key=len, reverse=True))
    for language, pattern in (("en", rf"(?<!\w)(?:{either})(?!\w)"), ("zh", either)):
        lists = WordLists({language: tuple(sorted(listed))})
        (count,) = lists.count(pa.array([text]), [language])
        assert count == len(re.findall(pattern, text.lower()))
