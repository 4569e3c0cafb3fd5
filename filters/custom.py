"""Rule sets of one's own, written as YAML: read, checked for limits that make no sense, named.

name: manuals
words: unicode              # what a word is; left out: unicode
include: [gopher]           # published rule sets, in the order that assigns reasons
limits: {gopher_short_doc: 20}
rules:
  - {name: too_many_digits, feature: digit_character_ratio, above: 0.3}
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from filters import features
from filters.errors import FilterError, unknown
from filters.openings import DERIVED
from filters.rules import Rule, RuleSet

_COUNTS_MAY_EXCEED_ONE: Final = frozenset(
    ["hash_ratio", "ellipsis_ratio", "newline_ratio", "command_ratio"]
)
"""Ratios of one thing to another, not of a part to its whole."""


class CustomRule(BaseModel):
    """One rule: drop a document whose feature is above, or below, a limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    feature: str
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.feature not in _RANGES:
            raise unknown("feature", self.feature, _RANGES)
        if (self.above is None) == (self.below is None):
            raise FilterError(
                f"rule {self.name!r} has {'neither' if self.above is None else 'both'} of `above` "
                "and `below`; a rule has one limit: write one of them"
            )
        fault = _fault(self.rule())
        if fault:
            raise FilterError(fault)
        return self

    def rule(self) -> Rule:
        """Return the rule as rule sets hold it."""
        if self.above is not None:
            return Rule(self.name, self.feature, "above", self.above)
        assert self.below is not None
        return Rule(self.name, self.feature, "below", self.below)


class CustomRules(BaseModel):
    """A rule set as its file describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = "custom"
    words: str = "unicode"
    include: tuple[str, ...] = ()
    limits: Mapping[str, float] = {}
    rules: tuple[CustomRule, ...] = ()

    def rule_set(self) -> RuleSet:
        """Return the rules; raises FilterError for an unknown name or a rule given twice."""
        published = RuleSet.combined(self.include, self.words, self.limits)
        own = tuple(rule.rule() for rule in self.rules)
        return RuleSet(self.name, (*published.rules, *own), self.words, published.language)


def read_file(path: Path) -> CustomRules:
    """Return the rule set of a YAML file.

    Raises:
        FilterError: the file cannot be read, is no YAML, or holds a rule that makes no sense;
            with the file, the line, what was found and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        found = yaml.safe_load(text)
    except OSError as error:
        raise FilterError(f"{path}: {error.strerror}; name a YAML file of rules") from error
    except UnicodeDecodeError as error:
        raise FilterError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise FilterError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise FilterError(
            f"{path}: found {type(found).__name__}; allowed: a mapping with some of "
            f"{', '.join(CustomRules.model_fields)}"
        )
    try:
        rules = CustomRules.model_validate(found)
        rules.rule_set()
    except ValidationError as error:
        first = error.errors()[0]
        line = _line(node, first["loc"])
        where = ".".join(map(str, first["loc"]))
        raise FilterError(f"{path}:{line}: {where}: {_message(first)}") from error
    except FilterError as error:
        raise FilterError(f"{path}: {error}") from error
    return rules


def _message(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        known = CustomRule if "rules" in error["loc"] else CustomRules
        return str(unknown("key", str(error["loc"][-1]), known.model_fields))
    return str(error["msg"]).removeprefix("Value error, ") + (
        f" (found {error['input']!r})" if error["type"] != "value_error" else ""
    )


def _line(node: Any, location: tuple[str | int, ...]) -> int:
    """Return the line, from 1, of the innermost part of a location that the file has."""
    line = int(node.start_mark.line) + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pairs = {str(key.value): (key, value) for key, value in node.value}
            if part not in pairs:
                break
            key, node = pairs[str(part)]
            line = int(key.start_mark.line) + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = int(node.start_mark.line) + 1
    return line


def _fault(rule: Rule) -> str:
    """Return why a rule can never or must always fire, '' where it can do either."""
    least, most = _RANGES[rule.feature]
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


def _range(feature: str) -> tuple[float, float]:
    share = feature.endswith("_ratio") and feature not in _COUNTS_MAY_EXCEED_ONE
    share = share and not feature.startswith("top_")  # occurrences of n-grams overlap
    return 0.0, 1.0 if share else math.inf


_RANGES: Final = {feature: _range(feature) for feature in (features.FEATURES | DERIVED)} | {
    name: (0.0, 1.0) for name in ("language_score", "generated_marks", "xml_declarations")
}
"""The least and the most that each feature can be."""
