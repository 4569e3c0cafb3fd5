"""FineWeb-2's published limits of 1,929 languages, as one family of rules.

Penedo et al. 2025 (arXiv 2506.20920); huggingface/fineweb-2, Apache-2.0 (data/make_fineweb2.py).
Which rule uses which number is what its fineweb-2-pipeline.py says: score of the language, Gopher
repetition without paragraphs, FineWeb without short lines, Gopher quality with stop words of the
language; C4 not at all.

**What carries over.** The limits were measured with a word tokenizer a language; ours is one
grammar for all (filters/text.py). Where a script has no spaces a token of ours is a character, and
a word several of them (UNSPACED): limits that count words are told in tokens there, an n-gram of
words is held against the n-gram of tokens that is as long, and what has no counterpart (lengths of
words, n-grams beyond ten tokens) is left out. The published scores are of GlotLID, ours of lid.176:
`limits={"language_score": 0.65}` and the like replace them.
"""

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from filters.errors import unknown
from filters.rules import Rule

FAMILY: Final = "fineweb2"
UNSPACED: Final[Mapping[str, float]] = {
    **dict.fromkeys(["Hani", "Hans", "Hant"], 1.75),
    **dict.fromkeys(["Jpan", "Hira"], 1.5),
    **dict.fromkeys(["Thai", "Laoo", "Khmr", "Mymr", "Tale", "Talu", "Lana", "Tavt"], 3.5),
}
"""Scripts of which every letter, or nearly, is a word for `words="unicode"`, and how many of these
are one word of the tokenizer that the limits were measured with: jieba, Sudachi and PyThaiNLP on
encyclopedias, books and FLORES (docs/log.md). Those that were not measured have Thai's."""

_TABLE = Path(__file__).parent / "data" / "fineweb2.parquet"
_WORD_LENGTHS = ("gopher_below_avg_threshold", "gopher_above_avg_threshold")
_ROWS: Final[tuple[tuple[Rule, str | None], ...]] = (
    (Rule("dup_line_frac", "repeated_line_ratio", "above", math.inf), "dup_line_frac"),
    *((Rule(f"top_{n}_gram", f"top_{n}_gram_character_ratio", "above", math.inf), f"top_{n}_gram")
      for n in (2, 3, 4)),
    *((Rule(f"duplicated_{n}_n_grams", f"repeated_{n}_gram_character_ratio", "above", math.inf),
       f"duplicated_{n}_n_grams") for n in range(5, 11)),
    (Rule("line_punct_ratio", "marked_line_ratio", "below", -math.inf), "line_punct_thr"),
    (Rule("char_dup_ratio", "repeated_nonblank_line_character_ratio", "above", 0.1), None),
    (Rule("list_ratio", "newline_ratio", "above", math.inf), "new_line_ratio"),
    (Rule("gopher_short_doc", "words", "below", 50), None),
    (Rule("gopher_long_doc", "words", "above", 100_000), None),
    (Rule(_WORD_LENGTHS[0], "mean_word_length", "below", -math.inf), "min_avg_word_length"),
    (Rule(_WORD_LENGTHS[1], "mean_word_length", "above", math.inf), "max_avg_word_length"),
    (Rule("gopher_too_many_hashes", "hash_ratio", "above", 0.1), None),
    (Rule("gopher_too_many_ellipsis", "ellipsis_ratio", "above", 0.1), None),
    (Rule("gopher_too_many_bullets", "bullet_line_ratio", "above", 0.9), None),
    (Rule("gopher_too_many_end_ellipsis", "ellipsis_line_ratio", "above", 0.3), None),
    (Rule("gopher_below_alpha_threshold", "alphabetic_token_ratio", "below", -math.inf),
     "max_non_alpha_words_ratio"),
    (Rule("gopher_enough_stop_words", "language_stop_words", "below", 2), None),
)  # fmt: skip
"""Each rule, and the published number that is its limit; None: the same for every language."""

_IN_TOKENS: Final[Mapping[str, Callable[[float, float], float]]] = {
    **dict.fromkeys(("gopher_short_doc", "gopher_long_doc"), lambda limit, size: limit * size),
    **dict.fromkeys(
        ("list_ratio", "gopher_too_many_hashes", "gopher_too_many_ellipsis"),
        lambda limit, size: limit / size,
    ),
    "gopher_below_alpha_threshold": lambda limit, size: limit * size / (limit * size + 1 - limit),
}
"""Limits that count words, for words of so many tokens; punctuation is one token to both."""


@functools.cache
def published() -> Mapping[str, Mapping[str, Any]]:
    """Return what is published, {lang_Script: {number: value, "stop_words": [...]}}."""
    return {row.pop("language"): row for row in pq.read_table(_TABLE).to_pylist()}


@functools.cache
def family() -> tuple[Rule, ...]:
    """Return the rules for documents of any language, each with a limit a language.

    `no_limits_for_language` comes first: it drops what no limits are published for, unless its
    limit is replaced (`limits={"no_limits_for_language": 0}`); no other rule fails there.
    """
    languages = published()
    nowhere = {language: -math.inf for language in languages}
    scores = {language: row["language_score"] for language, row in languages.items()}
    return (
        Rule("no_limits_for_language", "language_score", "below", math.inf, nowhere),
        Rule("language_score", "language_score", "below", -math.inf, scores),
        *(_by_language(rule, number) for rule, number in _ROWS),
    )


def rules_of(language: str) -> tuple[Rule, ...]:
    """Return the rules of one lang_Script, whatever documents say of their language."""
    if language not in published():
        raise unknown("language of fineweb2", language, published())
    rows = ((rule, _limit(rule, number, language)) for rule, number in _ROWS)
    return tuple(
        Rule(rule.name, rule.feature, rule.drop, limit)
        for rule, limit in rows
        if not math.isinf(limit)
    )


def _by_language(rule: Rule, number: str | None) -> Rule:
    """Return a rule with the limits of all languages, and one that never fires for others."""
    limits = {language: _limit(rule, number, language) for language in published()}
    never = -math.inf if rule.drop == "below" else math.inf
    return Rule(rule.name, rule.feature, rule.drop, never, limits)


def _limit(rule: Rule, number: str | None, language: str) -> float:
    """Return the limit of a rule for a language; infinite where it does not apply.

    A published 0 of repeated lines switches the rule off, as it does in datatrove.
    """
    size = UNSPACED.get(language[4:])
    if size is not None and number is not None and number.startswith(("top_", "duplicated_")):
        number = _as_long(number, size)
        if number is None:
            return math.inf
    if size is not None and rule.name in _WORD_LENGTHS:
        return -math.inf if rule.drop == "below" else math.inf
    limit = rule.limit if number is None else float(published()[language][number])
    if rule.name == "dup_line_frac" and limit == 0:
        return math.inf
    if size is not None and rule.name in _IN_TOKENS:
        return _IN_TOKENS[rule.name](limit, size)
    return limit


def _as_long(grams: str, size: float) -> str | None:
    """Return the published number on n-grams of words that are as long as these of tokens."""
    kind, tokens, rest = grams.split("_", 2)
    numbers = {number for _, number in _ROWS}
    for words in range(2, int(tokens)):
        if round(words * size) == int(tokens) and f"{kind}_{words}_{rest}" in numbers:
            return f"{kind}_{words}_{rest}"
    return None
