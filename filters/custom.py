"""Rule sets of one's own, written as YAML: read, checked for limits that make no sense, named.

name: manuals
words: unicode              # what a word is; left out: unicode
include: [gopher]           # published rule sets, in the order that assigns reasons
limits: {gopher_short_doc: 20}
rules:
  - {name: too_many_digits, feature: digit_character_ratio, above: 0.3}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from filters.errors import FilterError, unknown
from filters.ranges import RANGES, fault
from filters.rules import Rule, RuleSet


class CustomRule(BaseModel):
    """One rule: drop a document whose feature is above, or below, a limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    feature: str
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.feature not in RANGES:
            raise unknown("feature", self.feature, RANGES)
        if (self.above is None) == (self.below is None):
            raise FilterError(
                f"rule {self.name!r} has {'neither' if self.above is None else 'both'} of `above` "
                "and `below`; a rule has one limit: write one of them"
            )
        found = fault(self.rule())
        if found:
            raise FilterError(found)
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
        kind = "an empty file" if found is None else type(found).__name__
        raise FilterError(
            f"{path}: found {kind}; allowed: a mapping with some of "
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
