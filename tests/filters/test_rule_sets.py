"""One document kept and one dropped by every rule, asserted by name and by value."""

import pyarrow as pa
import pytest

from filters import RuleSet
from filters.rule_sets import RULE_SETS
from tests.filters.texts import PROSE

WORDS = PROSE.split()
LINES = "\n".join(" ".join(WORDS[at : at + 5]) for at in range(0, 80, 5))
DISTINCT = " ".join(f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(200))
"""200 words of which no two are equal."""


def repeat(words: int, times: int) -> str:
    """`times` copies of a passage of `words` five-letter words, parted by distinct words."""
    passage = " ".join(f"echo{chr(97 + at)}" for at in range(words))
    return " ".join(f"{passage} {filler}" for filler in DISTINCT.split()[:times])


def top_ratio(n: int, times: int) -> float:
    return times * (5 * n + n - 1) / len(repeat(n, times))


def repeated_ratio(n: int, times: int) -> float:
    return (times - 1) * 5 * n / len(repeat(n, times))


SENTENCES = "One line has words. Another has. A third one. And a fourth.\nThe fifth ends here.\n"
"""Five sentences on two lines that C4 keeps."""
OPEN_LINES = "words without a mark at the end\n" * 7

CASES = {
    # rule: (a document kept, a document dropped, the value it is dropped for)
    "gopher_short_doc": (PROSE, " ".join(WORDS[:49]), 49),
    "gopher_long_doc": (PROSE, " ".join(["the weather of"] * 33_334), 100_002),
    "gopher_below_avg_threshold": (PROSE, "to be of a it " * 20, 1.8),
    "gopher_above_avg_threshold": (PROSE, "the and " + "extraordinarily " * 60, 14.61290323),
    "gopher_too_many_hashes": (PROSE + " #", PROSE + " #x" * 20, 20 / 130),
    "gopher_too_many_ellipsis": (PROSE + "...", PROSE + " x…" * 15, 15 / 120),
    "gopher_too_many_bullets": (
        "\n".join(["plain", "plain", *("- " + line for line in LINES.split("\n"))]),
        "\n".join(("  • " if at % 2 else "- ") + x for at, x in enumerate(LINES.split("\n"))),
        1.0,
    ),
    "gopher_too_many_end_ellipsis": (LINES + "...", LINES.replace("\n", "... \n"), 15 / 16),
    "gopher_below_alpha_threshold": (PROSE, PROSE + " 12345" * 30, 81 / 120),
    "gopher_enough_stop_words": (PROSE, "The lighthouse keeper wrote the weather down. " * 10, 1),
    "empty": (" ", "", 0),
    "dup_para_frac": (DISTINCT + "\n\nsame", DISTINCT + "\n\nsame" * 3, 0.5),
    "dup_para_char_frac": (
        f"{DISTINCT}\n\n{DISTINCT[::-1]}",
        "\n\n".join([DISTINCT, "1", "2", "3", DISTINCT]),
        1399 / 2809,
    ),
    "dup_line_frac": (DISTINCT + "\nsame", DISTINCT + "\nsame" * 3, 0.5),
    "dup_line_char_frac": (
        f"{DISTINCT}\n{DISTINCT[::-1]}",
        "\n".join([DISTINCT, "1", "2", "3", DISTINCT]),
        1399 / 2805,
    ),
    **{f"top_{n}_gram": (DISTINCT, repeat(n, 9), top_ratio(n, 9)) for n in (2, 3, 4)},
    **{
        f"duplicated_{n}_n_grams": (DISTINCT, repeat(n, 9), repeated_ratio(n, 9))
        for n in range(5, 11)
    },
    "lorem_ipsum": (
        SENTENCES + "no mark: lorem ipsum",
        SENTENCES + "Here is Lorem Ipsum again.",
        1,
    ),
    "curly_bracket": (
        SENTENCES + "JavaScript { is another rule.",
        SENTENCES + "Here is { a brace.",
        1,
    ),
    "too_few_sentences": (SENTENCES, SENTENCES.replace("ends here.", "ends here"), 4),
    "line_punct_ratio": (SENTENCES + OPEN_LINES, SENTENCES[:60] + OPEN_LINES * 2, 1 / 15),
    "short_line_ratio": (SENTENCES + "short\n", SENTENCES + "short\n" * 3, 4 / 5),
    "char_dup_ratio": (SENTENCES, SENTENCES + SENTENCES[60:], 20 / 99),
    "list_ratio": (SENTENCES, "one two.\n" * 3 + "\n", 4 / 9),
}


@pytest.mark.parametrize("rule", CASES)
def test_each_rule_keeps_one_and_drops_one_by_name(rule: str) -> None:
    kept_text, dropped_text, value = CASES[rule]
    rule_set = next(name for name, rules in RULE_SETS.items() if rule in {r.name for r in rules})
    table = pa.table({"doc_id": ["good", "bad"], "text": [kept_text, dropped_text]})
    rules = RuleSet.named(rule_set)
    alone = RuleSet(rule, tuple(r for r in rules.rules if r.name == rule))
    kept, dropped = alone.judge(table)
    assert kept["doc_id"].to_pylist() == ["good"]
    assert dropped["doc_id"].to_pylist() == ["bad"]
    assert dropped["rule"].to_pylist() == [rule]
    assert dropped["value"].to_pylist() == [pytest.approx(value)]
    assert rule in dropped["failed_rules"].to_pylist()[0]


def test_every_rule_has_its_two_documents() -> None:
    assert set(CASES) == {rule.name for rules in RULE_SETS.values() for rule in rules}


def test_prose_passes_every_set() -> None:
    table = pa.table({"doc_id": ["prose"], "text": [PROSE + " The end. Of it.\n"]})
    for name in RULE_SETS:
        kept, dropped = RuleSet.named(name).judge(table)
        assert (kept.num_rows, dropped.num_rows) == (1, 0), dropped.to_pylist()


def test_limits_are_the_published_ones() -> None:
    limits = {
        rule.name: rule.limit
        for name in ("gopher_repetition", "gopher")
        for rule in RULE_SETS[name]
    }
    grams = [limits[f"top_{n}_gram"] for n in (2, 3, 4)]
    grams += [limits[f"duplicated_{n}_n_grams"] for n in range(5, 11)]
    assert grams == [0.20, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10]
    assert [limits[f"dup_{part}"] for part in ("para_frac", "line_frac")] == [0.3, 0.3]
    assert [limits[f"dup_{part}_char_frac"] for part in ("para", "line")] == [0.2, 0.2]
