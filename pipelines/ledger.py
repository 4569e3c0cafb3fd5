"""A ledger: rows and bytes in (and added) = kept + dropped by rule, proven before publishing."""

from collections.abc import Iterable, Mapping
from functools import reduce

from pydantic import BaseModel, ConfigDict, Field

from pipelines.errors import LedgerError


class Count(BaseModel):
    """Rows and the bytes they hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rows: int = Field(default=0, ge=0)
    bytes: int = Field(default=0, ge=0)

    def __add__(self, other: "Count") -> "Count":
        return Count(rows=self.rows + other.rows, bytes=self.bytes + other.bytes)


class Ledger(BaseModel):
    """The books of one shard or one stage. `unit` names what a row is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    unit: str = "documents"
    entered: Count = Count()
    kept: Count = Count()
    dropped: Mapping[str, Count] = {}
    added: Count = Count()
    """Further copies of rows that entered (pipelines/mix.py); they are among the kept."""

    @property
    def dropped_total(self) -> Count:
        """All that was dropped, over every rule."""
        return reduce(Count.__add__, self.dropped.values(), Count())

    def balance(self, where: str) -> "Ledger":
        """Return the ledger itself; LedgerError unless entered + added = kept + dropped."""
        left = self.kept + self.dropped_total
        if left != self.entered + self.added:
            raise LedgerError(
                f"{where}: the ledger does not balance: {self.entered.rows} {self.unit} "
                f"({self.entered.bytes} bytes) entered + {self.added.rows} "
                f"({self.added.bytes} bytes) added, {self.kept.rows} kept + "
                f"{self.dropped_total.rows} dropped = {left.rows} ({left.bytes} bytes). "
                "Nothing was published; this is a bug: please report it with the recipe."
            )
        return self


def add_ledgers(ledgers: Iterable[Ledger], unit: str = "documents") -> Ledger:
    """Sum shard ledgers into the stage's ledger; rules appear in sorted order."""
    entered, kept, added = Count(), Count(), Count()
    dropped: dict[str, Count] = {}
    for ledger in ledgers:
        if ledger.unit != unit:
            raise LedgerError(f"cannot add a ledger of {ledger.unit} to one of {unit}")
        entered, kept = entered + ledger.entered, kept + ledger.kept
        added += ledger.added
        for rule, count in ledger.dropped.items():
            dropped[rule] = dropped.get(rule, Count()) + count
    books = dict(sorted(dropped.items()))
    return Ledger(unit=unit, entered=entered, kept=kept, dropped=books, added=added)
