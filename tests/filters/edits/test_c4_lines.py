"""C4's line rules against a plain oracle of the published ones, line by line in their order."""

import re
import time
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.edits.c4_lines import C4Lines
from filters.edits.edited import Edited
from tests.filters.texts import any_text, crafted_text

CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
GOOD = "This line has words and an end."

_LINE_PARTS = st.sampled_from(
    [
        *("a", "word", "The", "end.", "end", '"', "'", "!", "?", "...", ".", "{", "}", " ", "  "),
        *("[1]", "[²]", "[٣]", "[]", "[edit]", "[citation needed]", "[", "]", "[edit", "é", "中"),
        *("Lorem Ipsum", "JavaScript", "terms of Use", "use coo\u212aies", "cookie policy"),
        *("\n", "\r\n", "\x85", "\u2028", "\x1c", "\x1f", "\t", "x" * 12, "\u00a0"),
    ]
)
c4_text = st.lists(_LINE_PARTS, max_size=60).map("".join)
options = st.builds(
    C4Lines,
    max_word_length=st.sampled_from([None, 1, 9, 1000]),
    citations=st.booleans(),
    terminal_punctuation=st.booleans(),
    min_words=st.sampled_from([0, 1, 3]),
    javascript=st.booleans(),
    policy=st.booleans(),
)


def apply(edit: C4Lines, *texts: str) -> Edited:
    return edit.apply(pa.table({"text": pa.array(texts, pa.large_string())}))


def oracle(text: str, edit: C4Lines) -> tuple[str, Counter[str]]:
    kept, removed = [], Counter[str]()
    for raw in text.splitlines():
        line = raw.strip()
        fault = fault_of(line, edit)
        if fault:
            removed[fault] += 1
        else:
            kept.append(CITATION.sub("", line) if edit.citations else line)
    return "\n".join(kept).strip(), removed


def fault_of(line: str, edit: C4Lines) -> str:  # noqa: PLR0911  as many as there are rules
    words = line.split()
    if edit.max_word_length is not None and any(len(w) > edit.max_word_length for w in words):
        return "too_long_word"
    if edit.citations:
        line = CITATION.sub("", line)
    ends = line.endswith((".", "?", "!", '"', "'")) and not line.endswith("...")
    if edit.terminal_punctuation and not ends:
        return "no_terminal_punctuation"
    if len(words) < edit.min_words:
        return "too_few_words"
    lower = line.lower()
    if "lorem ipsum" in lower:
        return ""
    if edit.javascript and "javascript" in lower:
        return "javascript"
    if "{" in line:
        return ""
    return "policy" if edit.policy and any(phrase in lower for phrase in POLICIES) else ""


@given(st.one_of(c4_text, crafted_text, any_text), options)
def test_lines_and_counts_are_those_of_the_published_rules(text: str, edit: C4Lines) -> None:
    edited = apply(edit, text)
    expected, removed = oracle(text, edit)
    assert edited.texts.to_pylist() == [expected]
    changes = {row["kind"]: row for row in edited.changes.to_pylist()}
    assert {kind: row["count"] for kind, row in changes.items() if row["lines"]} == removed
    for kind, count in removed.items():
        assert len(changes[kind]["lines"]) == count


@given(st.lists(st.one_of(c4_text, any_text), max_size=5), options)
def test_edited_bytes_add_up_and_lines_are_named(texts: list[str], edit: C4Lines) -> None:
    edited = apply(edit, *texts)
    gone = [0] * len(texts)
    for change in edited.changes.to_pylist():
        assert change["added"] == 0
        gone[change["row"]] += change["removed"]
        if change["lines"] is not None:
            lines = [line["text"].encode() for line in change["lines"]]
            assert sum(map(len, lines)) == change["removed"]
    sizes = pc.binary_length(edited.texts).to_pylist()
    assert [len(t.encode()) - g for t, g in zip(texts, gone, strict=True)] == sizes


@given(c4_text.filter(lambda text: "[" not in text), options)
def test_without_citation_marks_a_second_time_changes_nothing(text: str, edit: C4Lines) -> None:
    once = apply(edit, text).texts
    again = edit.apply(pa.table({"text": once}))
    assert again.texts == once
    assert again.changes.num_rows == 0


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("w" * 1001 + " two three.", "too_long_word"),
        ("Home | News | About us", "no_terminal_punctuation"),
        ("This goes on and on...", "no_terminal_punctuation"),
        ("Read more.", "too_few_words"),
        ("Please enable JavaScript to go on.", "javascript"),
        ("We say in our Privacy Policy who you are.", "policy"),
        ("We USE COO\u212aIES on every page.", "policy"),  # the Kelvin sign is a k when lowered
    ],
)
def test_a_refused_line_goes_and_is_named(line: str, kind: str) -> None:
    edited = apply(C4Lines(), f"{GOOD}\n{line}\n{GOOD}", GOOD)
    assert edited.texts.to_pylist() == [f"{GOOD}\n{GOOD}", GOOD]
    removed, space = edited.changes.to_pylist()
    assert (removed["row"], removed["kind"], removed["count"]) == (0, kind, 1)
    assert removed["lines"] == [{"text": line, "documents": None}]
    assert (space["kind"], space["removed"]) == ("white_space", 1)


@pytest.mark.parametrize(
    "line",
    ["Lorem ipsum dolor sit amet, JavaScript.", "if (x) { we use cookies here for that."],
)
def test_a_line_that_c4_drops_the_document_for_stays(line: str) -> None:
    assert apply(C4Lines(), line).changes.num_rows == 0


def test_citations_are_cut_out_of_the_line() -> None:
    edited = apply(C4Lines(), "It was built in 1889.[1][edit] And rebuilt.[citation needed]")
    assert edited.texts.to_pylist() == ["It was built in 1889. And rebuilt."]
    (change,) = edited.changes.to_pylist()
    assert (change["kind"], change["count"], change["removed"]) == ("citation", 3, 26)


def test_fineweb_keeps_lines_without_an_end() -> None:
    line = "A heading of four words"
    assert apply(C4Lines(), line).texts.to_pylist() == [""]
    assert apply(C4Lines(terminal_punctuation=False), line).texts.to_pylist() == [line]


@pytest.mark.parametrize("poison", ["[1", "uses cookie", "lorem ipsu", "a\n", "\u2028", "x"])
def test_two_megabytes_of_poison_take_no_longer_than_prose(poison: str) -> None:
    apply(C4Lines(), GOOD)
    begin = time.process_time()
    apply(C4Lines(), poison * (2_000_000 // len(poison.encode())))
    assert time.process_time() - begin < 5  # quadratic would take hours
