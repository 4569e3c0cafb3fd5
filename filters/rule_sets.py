"""The published rule sets, as tables of rules in the order that assigns reasons."""

from collections.abc import Mapping
from typing import Final

from filters.rules import Rule

GOPHER: Final = (
    Rule("gopher_short_doc", "words", "below", 50),
    Rule("gopher_long_doc", "words", "above", 100_000),
    Rule("gopher_below_avg_threshold", "mean_word_length", "below", 3),
    Rule("gopher_above_avg_threshold", "mean_word_length", "above", 10),
    Rule("gopher_too_many_hashes", "hash_ratio", "above", 0.1),
    Rule("gopher_too_many_ellipsis", "ellipsis_ratio", "above", 0.1),
    Rule("gopher_too_many_bullets", "bullet_line_ratio", "above", 0.9),
    Rule("gopher_too_many_end_ellipsis", "ellipsis_line_ratio", "above", 0.3),
    Rule("gopher_below_alpha_threshold", "alphabetic_token_ratio", "below", 0.8),
    Rule("gopher_enough_stop_words", "stop_words", "below", 2),
)
"""Quality rules of Gopher (Rae et al. 2021, arXiv 2112.11446, A.1), names and formulas as in
datatrove's GopherQualityFilter (0.10.1)."""

GOPHER_REPETITION: Final = (
    Rule("empty", "characters", "below", 1),
    Rule("dup_para_frac", "repeated_paragraph_ratio", "above", 0.3),
    Rule("dup_para_char_frac", "repeated_paragraph_character_ratio", "above", 0.2),
    Rule("dup_line_frac", "repeated_line_ratio", "above", 0.3),
    Rule("dup_line_char_frac", "repeated_line_character_ratio", "above", 0.2),
    Rule("top_2_gram", "top_2_gram_character_ratio", "above", 0.20),
    Rule("top_3_gram", "top_3_gram_character_ratio", "above", 0.18),
    Rule("top_4_gram", "top_4_gram_character_ratio", "above", 0.16),
    Rule("duplicated_5_n_grams", "repeated_5_gram_character_ratio", "above", 0.15),
    Rule("duplicated_6_n_grams", "repeated_6_gram_character_ratio", "above", 0.14),
    Rule("duplicated_7_n_grams", "repeated_7_gram_character_ratio", "above", 0.13),
    Rule("duplicated_8_n_grams", "repeated_8_gram_character_ratio", "above", 0.12),
    Rule("duplicated_9_n_grams", "repeated_9_gram_character_ratio", "above", 0.11),
    Rule("duplicated_10_n_grams", "repeated_10_gram_character_ratio", "above", 0.10),
)
"""Repetition rules of Gopher (the same, Table A1), as in datatrove's GopherRepetitionFilter."""

RULE_SETS: Final[Mapping[str, tuple[Rule, ...]]] = {
    "gopher": GOPHER,
    "gopher_repetition": GOPHER_REPETITION,
}
