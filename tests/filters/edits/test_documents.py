import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.edits import EDITS, C4Lines, PersonalData, UnicodeRepair, clean
from filters.edits.documents import EDITS as EDITS_TYPE
from filters.edits.documents import REPORT, Cleaned
from filters.errors import FilterError
from tests.filters.texts import any_text, crafted_text

PROSE = "It has rained for a week.\nThe river is high."
TEXTS = {"good": PROSE, "menu": "Home | Cart", "mail": "Please write to a@b.com at once.\r\nCart"}
EVERY = {name: edit() for name, edit in EDITS.items()}


def cleaned(texts: dict[str, str], **edits: object) -> Cleaned:
    documents = pa.table(
        {
            "doc_id": pa.array(list(texts), pa.string()),
            "text": pa.array(list(texts.values()), pa.large_string()),
            "url": pa.array([f"https://x.org/{name}" for name in texts], pa.string()),
        }
    )
    return clean(documents, edits or EVERY)  # type: ignore[arg-type]


def test_each_document_says_what_was_done_in_order() -> None:
    kept = cleaned(TEXTS).kept.to_pylist()
    assert [row["text"] for row in kept] == [PROSE, "Please write to [EMAIL] at once."]
    assert kept[0]["edits"] == []
    assert kept[1]["url"] == "https://x.org/mail"
    done = [(e["edit"], e["kind"], e["count"], e["removed"], e["added"]) for e in kept[1]["edits"]]
    assert done == [
        ("unicode", "line_break", 1, 1, 0),
        ("c4_lines", "no_terminal_punctuation", 1, 4, 0),
        ("c4_lines", "white_space", 1, 1, 0),
        ("pii", "email", 1, 7, 7),
    ]


def test_a_document_that_is_emptied_is_dropped_as_it_entered() -> None:
    (row,) = cleaned(TEXTS).dropped.to_pylist()
    assert (row["doc_id"], row["text"]) == ("menu", "Home | Cart")
    assert (row["rule"], row["feature"]) == ("empty_after_edits", "characters_left")
    assert (row["value"], row["limit"], row["failed_rules"]) == (0, 1, ["empty_after_edits"])
    assert row["edits"][0]["kind"] == "no_terminal_punctuation"


def test_a_document_that_was_blank_is_not_judged() -> None:
    assert cleaned({"a": "", "b": " "}, unicode=UnicodeRepair()).kept.num_rows == 2


def test_the_report_has_the_removed_lines_but_nothing_personal() -> None:
    report = cleaned(TEXTS).report
    assert report.schema == REPORT
    rows = {(row["doc_id"], row["kind"]): row for row in report.to_pylist()}
    assert not rows["menu", "no_terminal_punctuation"]["kept"]
    line = {"text": "Home | Cart", "documents": None}
    assert rows["menu", "no_terminal_punctuation"]["lines"] == [line]
    assert rows["mail", "email"]["lines"] is None
    assert "a@b.com" not in str(rows)


def test_edits_are_remembered_over_two_stages() -> None:
    once = cleaned({"a": "a@b.com \0"}, unicode=UnicodeRepair()).kept
    twice = clean(once, {"pii": PersonalData()}).kept
    assert twice.schema.field("edits").type == EDITS_TYPE
    assert [edit["kind"] for edit in twice["edits"][0].as_py()] == ["nul", "email"]


def test_a_foreign_column_edits_is_an_error() -> None:
    documents = pa.table({"doc_id": ["a"], "text": ["b"], "edits": [3]})
    with pytest.raises(FilterError, match=r"column `edits` of type int64.*rename it"):
        clean(documents, {"c4_lines": C4Lines()})


def test_no_documents_give_none() -> None:
    found = cleaned({})
    assert found.kept.num_rows == found.dropped.num_rows == found.report.num_rows == 0
    assert found.kept.schema == cleaned(TEXTS).kept.schema
    assert found.dropped.schema == cleaned(TEXTS).dropped.schema


@given(
    st.lists(st.one_of(any_text, crafted_text, st.sampled_from(list(TEXTS.values()))), max_size=5)
)
def test_every_document_is_on_one_side_and_every_byte_is_accounted_for(texts: list[str]) -> None:
    documents = {str(number): text for number, text in enumerate(texts)}
    found = cleaned(documents)
    ids = found.kept["doc_id"].to_pylist() + found.dropped["doc_id"].to_pylist()
    assert sorted(ids) == sorted(documents)
    report = found.report.filter(found.report["kept"])
    entered = sum(len(text.encode()) for text in texts)
    left = sum(len(text.encode()) for text in found.kept["text"].to_pylist())
    left += sum(len(text.encode()) for text in found.dropped["text"].to_pylist())
    gone = (pc.sum(report["removed"]).as_py() or 0) - (pc.sum(report["added"]).as_py() or 0)
    assert entered == left + gone
    for key in {(row["doc_id"], row["edit"]) for row in report.to_pylist()}:
        rows = [r for r in report.to_pylist() if (r["doc_id"], r["edit"]) == key]
        change = sum(row["added"] - row["removed"] for row in rows)
        assert rows[0]["bytes_before"] + change == rows[0]["bytes_after"]
    untouched = found.kept.filter(pc.equal(pc.list_value_length(found.kept["edits"]), 0))
    for row in untouched.to_pylist():
        assert row["text"] == documents[row["doc_id"]]
