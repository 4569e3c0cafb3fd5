"""One set of rules for a mixed corpus: each document is judged as what it is written in.

A document's `route` decides (filters/features.py): "code" by the rules for source code, "math" by
those for mathematics, English by FineWeb's whole chain (arXiv 2406.17557: Gopher repetition, Gopher
quality, C4 without terminal marks, its own, all on the text as it came), any other language by its
limits of FineWeb-2 (filters/fineweb2.py). That is the mix that LLaDA was trained on (arXiv
2502.09992, B.1: English, Chinese and code), with rules published for each part of it.

Languages have minimum scores of their own here, and code and mathematics none: where a stage asks
for one score of all documents, set it to 0.
"""

import functools
import math
from dataclasses import replace
from typing import Final

from filters import fineweb2, rule_sets
from filters.rules import Rule

NAME: Final = "multilingual"
ENGLISH: Final = "eng_Latn"
ENGLISH_SCORE: Final = 0.65
"""FineWeb's (arXiv 2406.17557, 3.3); FineWeb-2 publishes none for English."""
_STOP_WORDS: Final = "gopher_enough_stop_words"
"""Of Gopher's English list for English, of a language's own list for others: two statistics."""


@functools.cache
def family() -> tuple[Rule, ...]:
    """Return the rules, each with limits by route; a rule never fires on other routes."""
    unlimited, score, *others = fineweb2.family()
    known = dict.fromkeys((ENGLISH, "code", "math"), -math.inf)
    scores = {**score.limits, ENGLISH: ENGLISH_SCORE}
    rules = {rule.name: replace(rule, by="route") for rule in others}
    for rule in _english():
        found = rules.get(rule.name)
        limits = found.limits if found else {}
        rules[rule.name] = _on(rule, {**limits, ENGLISH: rule.limit})
    for route, table in (("code", rule_sets.CODE), ("math", rule_sets.MATH)):
        for rule in table:
            rules[rule.name] = _on(rule, {route: rule.limit})
    return (
        replace(unlimited, limits={**unlimited.limits, **known}, by="route"),
        replace(score, limits=scores, by="route"),
        *rules.values(),
    )


def _english() -> tuple[Rule, ...]:
    chain = (
        *rule_sets.GOPHER_REPETITION, *rule_sets.GOPHER, *rule_sets.C4_FINEWEB, *rule_sets.FINEWEB,
    )  # fmt: skip
    return tuple(
        replace(rule, name="gopher_enough_english_stop_words") if rule.name == _STOP_WORDS else rule
        for rule in chain
    )


def _on(rule: Rule, limits: dict[str, float]) -> Rule:
    never = -math.inf if rule.drop == "below" else math.inf
    return replace(rule, limit=never, limits=limits, by="route")
