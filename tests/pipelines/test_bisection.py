"""A document that a pass cannot take is found by halves and kept aside; the others are judged."""

import gc
import weakref

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import schemas
from pipelines.bisection import MOST_QUARANTINED, apart
from pipelines.documents import document_ledger
from pipelines.ledger import Count


def documents(rows: int) -> pa.Table:
    table = pa.table(
        {"doc_id": [f"d{at}" for at in range(rows)], "text": [str(at) for at in range(rows)]}
    )
    return table.cast(pa.schema([schemas.DOCUMENT.field(n) for n in ("doc_id", "text")]))


class Pass:
    """Fails on some texts, as a pass does on a document it cannot take."""

    def __init__(self, poison: set[str]) -> None:
        self.poison, self.calls = poison, 0

    def __call__(self, table: pa.Table) -> list[str]:
        self.calls += 1
        texts: list[str] = table["text"].to_pylist()
        found = self.poison.intersection(texts)
        if found:
            raise OverflowError(f"cannot take {sorted(found)[0]}")
        return texts


@given(st.integers(1, 60), st.sets(st.integers(0, 59), max_size=5))
def test_only_the_poisoned_are_set_aside_in_order(rows: int, poison: set[int]) -> None:
    bad = {str(at) for at in poison if at < rows}
    results, failed = apart(documents(rows), Pass(bad))
    texts = [str(at) for at in range(rows)]
    assert [text for part in results for text in part] == [t for t in texts if t not in bad]
    assert failed["text"].to_pylist() == [t for t in texts if t in bad]
    assert set(failed["rule"].to_pylist()) <= {"quarantined"}
    assert [e for e in failed["error"].to_pylist()] == [
        f"OverflowError: cannot take {t}" for t in texts if t in bad
    ]


def test_one_of_a_thousand_costs_twenty_calls() -> None:
    judge = Pass({"617"})
    _, failed = apart(documents(1000), judge)
    assert failed["doc_id"].to_pylist() == ["d617"]
    assert judge.calls <= 2 * 10 + 1


def test_the_books_balance_with_a_quarantined_document() -> None:
    table = documents(10)
    judge = Pass({"3"})
    results, failed = apart(table, lambda part: (judge(part), part)[1])
    ledger = document_ledger(table, pa.concat_tables(results), failed, {}).balance("here")
    assert ledger.dropped == {"quarantined": Count(rows=1, bytes=1)}


class Broken(Pass):
    """Fails on whatever it is given."""

    def __call__(self, table: pa.Table) -> list[str]:
        super().__call__(table)
        raise OverflowError("cannot take anything")


@pytest.mark.parametrize("rows", [1, 7, 3 * MOST_QUARANTINED])
def test_a_pass_that_fails_on_all_is_not_blamed_on_documents(rows: int) -> None:
    judge = Broken({"0"})
    with pytest.raises(OverflowError, match="cannot take 0"):
        apart(documents(rows), judge)
    assert judge.calls <= 6 * MOST_QUARANTINED


def test_so_many_failures_are_no_fault_of_documents_whatever_a_plain_one_does() -> None:
    rows = MOST_QUARANTINED + 1
    with pytest.raises(OverflowError, match="cannot take 0"):
        apart(documents(rows), Pass({str(at) for at in range(rows)}))


@pytest.mark.parametrize("rows", [1, 2, MOST_QUARANTINED])
def test_a_unit_of_nothing_but_poison_is_set_aside_whole(rows: int) -> None:
    texts = [str(at) for at in range(rows)]
    results, failed = apart(documents(rows), Pass(set(texts)))
    assert results == [[]]
    assert failed["text"].to_pylist() == texts


def test_no_documents_are_judged_once() -> None:
    results, failed = apart(documents(0), Pass(set()))
    assert results == [[]]
    assert failed.num_rows == 0
    assert {"rule", "feature", "value", "limit", "error"} <= set(failed.column_names)


@pytest.mark.parametrize("poison", [set(), {"3"}, {"3", "4"}])
def test_nothing_of_a_unit_is_kept_by_a_cycle(poison: set[str]) -> None:
    table, judge = documents(8), Pass(poison)
    gc.collect()
    gc.disable()  # what is gone now went by reference counts alone
    try:
        results, failed = apart(table, lambda part: (judge(part), part.slice(0))[1])
        watched = [weakref.ref(one) for one in (table, failed, *results)]
        del table, results, failed
        assert [one() for one in watched if one() is not None] == []
    finally:
        gc.enable()
