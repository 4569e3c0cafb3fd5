import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import LedgerError
from pipelines.ledger import Change, Count, Ledger, add_ledgers

counts = st.builds(Count, rows=st.integers(0, 1000), bytes=st.integers(0, 10**6))


@st.composite
def balanced(draw: st.DrawFn) -> Ledger:
    kept = draw(counts)
    dropped = draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), counts))
    entered = kept
    for count in dropped.values():
        entered += count
    removed = draw(st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 1000)))
    edited = {edit: Change(rows=1, removed=size + 3, added=3) for edit, size in removed.items()}
    entered += Count(bytes=sum(removed.values()))
    return Ledger(entered=entered, kept=kept, dropped=dropped, edited=edited)


@given(st.lists(balanced()))
def test_the_sum_of_balanced_ledgers_balances(ledgers: list[Ledger]) -> None:
    total = add_ledgers(ledgers).balance("here")
    assert total.entered.rows == sum(ledger.entered.rows for ledger in ledgers)


@given(balanced(), st.integers(1, 5))
def test_a_lost_row_is_noticed(ledger: Ledger, lost: int) -> None:
    entered = ledger.entered + Count(rows=lost)
    broken = ledger.model_copy(update={"entered": entered})
    with pytest.raises(LedgerError, match="stage 'x': the ledger does not balance"):
        broken.balance("stage 'x'")


def test_lost_bytes_are_noticed() -> None:
    ledger = Ledger(entered=Count(rows=1, bytes=10), kept=Count(rows=1, bytes=9))
    with pytest.raises(LedgerError, match=r"10 bytes.*9 bytes"):
        ledger.balance("stage")


def test_units_do_not_mix() -> None:
    with pytest.raises(LedgerError, match="pairs"):
        add_ledgers([Ledger(unit="pairs")])


def test_bytes_that_an_edit_took_out_or_put_in_are_part_of_the_books() -> None:
    entered, kept = Count(rows=1, bytes=10), Count(rows=1, bytes=9)
    edited = {"pii.email": Change(rows=1, removed=8, added=7)}
    Ledger(entered=entered, kept=kept, edited=edited).balance("stage")
    edited = {"pii.email": Change(rows=1, removed=8, added=6)}
    with pytest.raises(LedgerError, match="edits removed 8 and added 6"):
        Ledger(entered=entered, kept=kept, edited=edited).balance("stage")


def test_a_ledger_of_an_older_manifest_has_no_edits() -> None:
    old = '{"unit": "documents", "entered": {"rows": 1}, "kept": {"rows": 1}, "dropped": {}}'
    assert Ledger.model_validate_json(old).balance("stage").edited == {}
