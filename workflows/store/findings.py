"""What a check of the doctor says: one line, and where something is wrong what to do."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor; `remedy` is a command or a setting, given unless all is well."""

    level: Level
    about: str
    found: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """The finding for people."""
        return f"{self.level:<5}{self.about:<14}{self.found}" + (
            f"  ->  {self.remedy}" if self.remedy else ""
        )

    def as_json(self) -> dict[str, str]:
        """Return the row of `llada doctor --json`."""
        return {
            "level": self.level,
            "about": self.about,
            "found": self.found,
            "remedy": self.remedy,
        }


@dataclass(frozen=True)
class Patient:
    """What is examined: a store, and a Ray cluster where one was named."""

    store: Path
    address: str | None = None


Check = Callable[[Patient], Iterable[Finding]]


def gigabytes(count: float) -> str:
    """Return bytes as people write them."""
    return f"{count / 1e9:,.1f} GB"
