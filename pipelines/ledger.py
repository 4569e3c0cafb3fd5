"""A ledger: rows and bytes in = kept + dropped by rule, proven before anything is published.

Where a stage edits what it keeps, bytes in = kept + dropped + removed by edits - added by edits.
Where it copies, rows and bytes in + added = kept + dropped.
"""

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


class Change(BaseModel):
    """How many kept rows an edit changed, and the bytes it took out of them and put in."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rows: int = Field(default=0, ge=0)
    removed: int = Field(default=0, ge=0)
    added: int = Field(default=0, ge=0)

    def __add__(self, other: "Change") -> "Change":
        return Change(
            rows=self.rows + other.rows,
            removed=self.removed + other.removed,
            added=self.added + other.added,
        )


class Ledger(BaseModel):
    """The books of one shard or one stage. `unit` names what a row is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    unit: str = "documents"
    entered: Count = Count()
    kept: Count = Count()
    dropped: Mapping[str, Count] = {}
    added: Count = Count()
    """Further copies of rows that entered (pipelines/mix.py); they are among the kept."""
    edited: Mapping[str, Change] = {}
    """edit.kind -> what it did to the rows that were kept; one row may be changed by several."""

    @property
    def dropped_total(self) -> Count:
        """All that was dropped, over every rule."""
        return reduce(Count.__add__, self.dropped.values(), Count())

    @property
    def edited_total(self) -> Change:
        """All that edits did; its rows count changes, not different rows."""
        return reduce(Change.__add__, self.edited.values(), Change())

    def balance(self, where: str) -> "Ledger":
        """Return the ledger itself; LedgerError unless entered + added = kept + dropped + edits."""
        left, edits = self.kept + self.dropped_total, self.edited_total
        bytes_left = left.bytes + edits.removed - edits.added
        come = self.entered + self.added
        if (left.rows, bytes_left) != (come.rows, come.bytes):
            raise LedgerError(
                f"{where}: the ledger does not balance: {self.entered.rows} {self.unit} "
                f"({self.entered.bytes} bytes) entered + {self.added.rows} "
                f"({self.added.bytes} bytes) added, {self.kept.rows} kept + "
                f"{self.dropped_total.rows} dropped = {left.rows} ({left.bytes} bytes; edits "
                f"removed {edits.removed} and added {edits.added}). "
                "Nothing was published; this is a bug: please report it with the recipe."
            )
        return self


def add_ledgers(ledgers: Iterable[Ledger], unit: str = "documents") -> Ledger:
    """Sum shard ledgers into the stage's ledger; rules appear in sorted order."""
    entered, kept, added = Count(), Count(), Count()
    dropped: dict[str, Count] = {}
    edited: dict[str, Change] = {}
    for ledger in ledgers:
        if ledger.unit != unit:
            raise LedgerError(f"cannot add a ledger of {ledger.unit} to one of {unit}")
        entered, kept = entered + ledger.entered, kept + ledger.kept
        added += ledger.added
        for rule, count in ledger.dropped.items():
            dropped[rule] = dropped.get(rule, Count()) + count
        for edit, change in ledger.edited.items():
            edited[edit] = edited.get(edit, Change()) + change
    return Ledger(
        unit=unit,
        entered=entered,
        kept=kept,
        dropped=dict(sorted(dropped.items())),
        added=added,
        edited=dict(sorted(edited.items())),
    )
