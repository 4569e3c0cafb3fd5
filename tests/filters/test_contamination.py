import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.contamination import MOST_FIELDS, BenchmarkIndex, Item
from filters.errors import FilterError
from filters.grams import Grams, fold

QUESTION = (
    "A robe takes two bolts of blue fibre and half that much white fibre and a spool of silver "
    "thread. How many bolts in total does it take?"
)

_WORDS = ["ab", "cd", "ef", "gh", "1", ".", "漢", "字"]


def _find(items: Iterable[Item], texts: Sequence[str], **grams: Any) -> list[dict[str, Any]]:
    index = BenchmarkIndex(list(items), Grams(**grams))
    rows: list[dict[str, Any]] = index.find(pa.array(texts, pa.large_string())).to_pylist()
    return rows


def _item(text: str) -> Item:
    return Item("bench", "7", "question", text)


def test_a_hit_leads_to_item_field_and_place_and_ignores_case_spaces_and_punctuation() -> None:
    text = (
        "Bob wrote:\n\n> a ROBE takes two bolts, of blue  fibre - and half that much white fibre!"
    )
    (hit,) = _find([_item(QUESTION)], ["nothing of interest", text])
    assert (hit["row"], hit["benchmark"], hit["benchmark_item"]) == (1, "bench", "7")
    assert (hit["benchmark_field"], hit["feature"]) == ("question", "benchmark_overlap")
    words = 28
    assert (hit["grams_found"], hit["grams"]) == (14 - 13 + 1, words - 13 + 1)
    assert hit["value"] == 2 / 16
    assert hit["matched"] == text[hit["matched_begin"] : hit["matched_end"]]
    assert hit["matched"] == text[text.index("a ROBE") : text.index("!")]


def test_digits_keep_their_value() -> None:
    item = _item(QUESTION.replace("two", "16"))
    assert _find([item], [QUESTION.replace("two", "16")])[0]["value"] == 1
    assert _find([item], [QUESTION.replace("two", "17")])[0]["value"] < 1
    assert fold("Été n° ١٦") == "eten16"


@pytest.mark.parametrize(
    "text",
    [
        " ".join(map(str, range(1, 40))),
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13",
        "a b c d e f g h i j k l m n o p q r s t u v w x y z",
        "0 1 1 2 3 5 8 13 21 34 55 89 144 233",
        "one " * 40,
    ],
)
def test_counting_runs_and_what_says_nothing_are_no_hit(text: str) -> None:
    index = BenchmarkIndex([_item(text)])
    assert index.left_out == {("bench", "says_nothing"): 1}
    assert index.find(pa.array([text], pa.large_string())).num_rows == 0


def test_a_counting_run_inside_an_item_does_not_count_for_it() -> None:
    run = " ".join(map(str, range(1, 40)))
    assert _find([_item(f"{QUESTION} {run}")], [run]) == []


def test_a_short_item_counts_as_a_whole_phrase_only_unless_told_otherwise() -> None:
    item = _item("窈窕淑女\n君子好逑")
    whole, inside = "關雎。窈窕淑女，君子好逑。參差", "夫窈窕淑女，君子好逑也"
    assert [hit["row"] for hit in _find([item], [whole, inside])] == [0]
    hit, _ = _find([item], [whole, inside], anywhere=True)
    assert (hit["feature"], hit["value"]) == ("benchmark_line", 1.0)
    assert hit["matched"] == "窈窕淑女，君子好逑"


def test_what_is_too_short_is_not_looked_for_and_counted() -> None:
    index = BenchmarkIndex([_item("yes"), _item("carbon dioxide")])
    assert index.left_out == {("bench", "too_short"): 2}
    assert index.searched == {}


def test_a_template_of_many_items_is_no_items_own() -> None:
    sentence = "reason step by step and put the final answer within the box at the end"
    items = [
        Item("bench", str(n), "prompt", sentence + (f". {QUESTION}" if n == 0 else ""))
        for n in range(MOST_FIELDS + 1)
    ]
    index = BenchmarkIndex(items)
    assert index.left_out == {("bench", "template"): MOST_FIELDS}
    assert index.find(pa.array([sentence], pa.large_string())).num_rows == 0
    assert index.find(pa.array([QUESTION], pa.large_string()))["value"].to_pylist()[0] > 0.5


def test_equal_hashes_of_different_words_are_no_hit() -> None:
    """Thue-Morse words have one polynomial hash modulo 2**64 whatever its odd base is."""
    bits = [bin(n).count("1") % 2 for n in range(1 << 11)]
    one = "".join("xy"[bit] for bit in bits)
    other = "".join("yx"[bit] for bit in bits)
    item, same = (f"{word} {QUESTION}" for word in (one, one))
    assert _find([_item(item)], [same])[0]["value"] == 1
    found = _find([_item(item)], [f"{other} {QUESTION}"])[0]
    assert found["grams_found"] == found["grams"] - 1
    index = BenchmarkIndex([_item(item)])
    tokens = [index.grams.tokens(_batch(word), 0).hashes for word in (one, other)]
    assert (tokens[0] == tokens[1]).all(), "the two words were to collide"


def _batch(text: str) -> Any:
    from filters.text import TextBatch

    return TextBatch.of_text(text)


def test_characters_find_what_lost_its_spaces() -> None:
    text = QUESTION.replace(" ", "")
    assert _find([_item(QUESTION)], [text]) == []
    assert _find([_item(QUESTION)], [text], unit="characters", size=50)[0]["value"] == 1


def test_impossible_grams_are_refused() -> None:
    with pytest.raises(FilterError, match=r"size of n-grams is 3; allowed: 4 or more"):
        Grams(size=3)
    with pytest.raises(FilterError, match=r"did you mean 'words'\?"):
        Grams(unit="word")


@given(st.lists(st.sampled_from(_WORDS), max_size=30), st.data())
def test_overlap_equals_a_plain_count(words: list[str], data: st.DataObject) -> None:
    other = data.draw(st.permutations(words)) if len(words) < 12 else words[3:] + words[:3]
    size = 4
    index = BenchmarkIndex([_item(" ".join(words))], Grams(size, shortest=1))
    found = index.find(pa.array([" ".join(other)], pa.large_string())).to_pylist()
    own, theirs = ({tuple(g) for g in _grams(w, size)} for w in (words, other))
    own = {gram for gram in own if len({w for w in gram if w != "1"}) >= 4}
    tokens = [word for word in words if word != "."]
    if len(tokens) >= size:
        assert [hit["grams_found"] for hit in found] == (
            [len(own & theirs)] if own & theirs else []
        )


def _grams(words: Sequence[str], size: int) -> list[Sequence[str]]:
    kept = [word for word in words if word != "."]
    return [kept[at : at + size] for at in range(len(kept) - size + 1)]


# What lies in the real corpora (../shared/data/README.md).


def _lines(path: Path) -> list[dict[str, Any]]:
    content = gzip.decompress(path.read_bytes()).decode()
    return [json.loads(line) for line in content.split("\n") if line]


def _talks(folder: Path, *names: str) -> list[str]:
    return [
        "\n\n".join(message["content"] for message in row["messages"])
        for name in names
        for row in _lines(folder / "sft" / f"{name}.shared.jsonl.gz")
    ]


def _items(rows: list[dict[str, Any]], *fields: str) -> list[Item]:
    return [
        Item("bench", str(number), name, "\n".join(row[part] for part in name.split("+")))
        for number, row in enumerate(rows)
        for name in fields
    ]


def _touched(hits: list[dict[str, Any]], limit: float = 0) -> tuple[int, int]:
    """Return how many items and documents have an overlap of at least `limit`."""
    strong = [hit for hit in hits if hit["value"] >= limit]
    return len({hit["benchmark_item"] for hit in strong}), len({hit["row"] for hit in strong})


def test_the_poem_pairs_in_the_poems(shared_data: Path) -> None:
    pairs = json.loads((shared_data / "eval/poems/poem_data.json").read_text())
    texts = pq.read_table(shared_data / "corpus/text/zh_poems.shared.parquet")["text"].to_pylist()
    anywhere = {"anywhere": True, "shortest": 9}
    assert _touched(_find(_items(pairs, "first+second"), texts, **anywhere))[0] == 72
    assert _touched(_find(_items(pairs, "first", "second"), texts, **anywhere))[0] == 137
    # By default 6 pairs fewer: 4 of two times three characters or so, 2 after a word on their line.
    assert _touched(_find(_items(pairs, "first+second"), texts))[0] == 66


def test_programs_in_code_alpaca(shared_data: Path) -> None:
    mbpp = _items(_lines(shared_data / "eval/mbpp/mbpp.jsonl.gz"), "text", "code")
    humaneval = _lines(shared_data / "eval/humaneval/HumanEval.jsonl.gz")
    solutions = _items(humaneval, "prompt", "canonical_solution")
    texts = _talks(shared_data, "code_alpaca_2k")
    # The 10 and 6 items of the README share ten words; thirteen are idioms such as nested loops.
    assert _touched(_find(mbpp, texts, size=10))[0] == 10
    assert _touched(_find(solutions, texts, size=10))[0] == 6
    assert _touched(_find(mbpp, texts))[0] == 3
    assert _touched(_find(solutions, texts))[0] == 4
    assert _touched(_find(mbpp, texts), 0.5) == (1, 1)


def test_passages_in_dolly_and_questions_in_gsm8k(shared_data: Path) -> None:
    passages = _items(_lines(shared_data / "eval/boolq/boolq.jsonl.gz"), "query")
    dolly = _talks(shared_data, "dolly_nocontext", "dolly_hhrlhf")
    assert _touched(_find(passages, dolly))[1] == 10
    assert _touched(_find(passages, dolly), 0.5) == (1, 1)
    questions = _items(_lines(shared_data / "eval/gsm8k/test.jsonl.gz"), "question")
    train = _talks(shared_data, "gsm8k_train")
    assert _touched(_find(questions, train))[1] == 4
    assert _touched(_find(questions, train), 0.5) == (1, 2)
