"""Edits: what may be changed in a document that is kept; each says what it did.

>>> from filters.edits import EDITS, clean
>>> kept, dropped, report = clean(documents, {"pii": EDITS["pii"]()})
"""

from collections.abc import Mapping
from typing import Final

from filters.edits.c4_lines import C4Lines
from filters.edits.documents import clean
from filters.edits.edited import Edit, Edited
from filters.edits.personal_data import PersonalData
from filters.edits.repeated_lines import RepeatedLineRemoval, RepeatedLines
from filters.edits.unicode_repair import UnicodeRepair

EDITS: Final[Mapping[str, type[UnicodeRepair] | type[C4Lines] | type[PersonalData]]] = {
    "unicode": UnicodeRepair,
    "c4_lines": C4Lines,
    "pii": PersonalData,
}
"""Every edit that needs nothing but the text. `RepeatedLines` counts over a whole corpus first."""

__all__ = [
    "EDITS",
    "C4Lines",
    "Edit",
    "Edited",
    "PersonalData",
    "RepeatedLineRemoval",
    "RepeatedLines",
    "UnicodeRepair",
    "clean",
]
