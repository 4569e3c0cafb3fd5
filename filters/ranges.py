"""What each statistic can be, and so which limits can never, or must always, drop a document."""

import math
from typing import TYPE_CHECKING, Final

from filters import features
from filters.openings import DERIVED

if TYPE_CHECKING:
    from filters.rules import Rule

_COUNTS_MAY_EXCEED_ONE: Final = frozenset(
    ["hash_ratio", "ellipsis_ratio", "newline_ratio", "command_ratio"]
)
"""Ratios of one thing to another, not of a part to its whole."""


def fault(rule: "Rule") -> str:
    """Return why a rule can never or must always fire, '' where it can do either."""
    least, most = RANGES.get(rule.feature, _UNKNOWN)
    if math.isnan(rule.limit):
        return f"limit of rule {rule.name!r} is NaN; allowed: any number"
    if rule.drop == "above":
        never, always = rule.limit >= most, rule.limit < least
    else:
        never, always = rule.limit <= least, rule.limit > most
    if not never and not always:
        return ""
    return (
        f"rule {rule.name!r} {'never' if never else 'always'} fires: {rule.feature} lies between "
        f"{least:g} and {most:g}, and documents {rule.drop} {rule.limit:g} are dropped; choose a "
        "limit between the two"
    )


def is_off(rule: "Rule") -> bool:
    """Whether a limit is the way to switch a rule off: infinite, or the end of the range."""
    least, most = RANGES.get(rule.feature, _UNKNOWN)
    return rule.limit in ((least, -math.inf) if rule.drop == "below" else (most, math.inf))


def _range(feature: str) -> tuple[float, float]:
    share = feature.endswith("_ratio") and feature not in _COUNTS_MAY_EXCEED_ONE
    share = share and not feature.startswith("top_")  # occurrences of n-grams overlap
    return 0.0, 1.0 if share else math.inf


_UNKNOWN: Final = (-math.inf, math.inf)
RANGES: Final = {feature: _range(feature) for feature in (features.FEATURES | DERIVED)} | {
    name: (0.0, 1.0) for name in ("language_score", "generated_marks", "xml_declarations")
}
"""The least and the most that each statistic can be."""
