"""The published rule sets, as tables of rules in the order that assigns reasons."""

from collections.abc import Mapping
from typing import Final

from filters import fineweb2
from filters.errors import unknown
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


def _c4(prefix: str) -> tuple[Rule, ...]:
    return (
        Rule("lorem_ipsum", f"{prefix}_lorem_ipsum_lines", "above", 0),
        Rule("curly_bracket", f"{prefix}_curly_bracket_lines", "above", 0),
        Rule("too_few_sentences", f"{prefix}_sentences", "below", 5),
    )


C4: Final = _c4("c4")
"""C4 (Raffel et al. 2020, arXiv 1910.10683) as a verdict: what its line rules leave must hold five
sentences, and no line that they leave a brace or "lorem ipsum". Lines are counted, not removed."""

C4_FINEWEB: Final = _c4("c4_fineweb")
"""The same as FineWeb applies it: lines need not end in a terminal mark (arXiv 2406.17557, 3.4).

FineWeb's own rules saw what C4's had left of a text. For the same, make three stages of it: these
rules, the edit c4_lines (filters/edits), then `fineweb`; in one filter all see the text as it came.
"""

FINEWEB: Final = (
    Rule("line_punct_ratio", "marked_line_ratio", "below", 0.12),
    Rule("short_line_ratio", "short_line_ratio", "above", 0.67),
    Rule("char_dup_ratio", "repeated_nonblank_line_character_ratio", "above", 0.01),
    Rule("list_ratio", "newline_ratio", "above", 0.3),
)
"""FineWeb's own rules (arXiv 2406.17557, 3.6), limits of the code that made it: the text says 0.1
for char_dup_ratio, datatrove's FineWebQualityFilter 0.01. A text of blank lines, "empty" there, has
no line with a mark and is dropped as line_punct_ratio here."""

_LINES: Final = (
    Rule("code_long_line", "longest_line", "above", 1000),
    Rule("code_long_lines", "mean_line_length", "above", 100),
)
_GENERATED: Final = Rule("code_generated", "generated_marks", "above", 0)

CODE: Final = (
    *_LINES,
    Rule("code_few_letters", "alphabetic_character_ratio", "below", 0.25),
    Rule("code_xml", "xml_declarations", "above", 0),
    _GENERATED,
)
"""Source code as StarCoder chose it (Li et al. 2023, arXiv 2305.06161; the same four limits in
DeepSeek-Coder, arXiv 2401.14196), and files that say in their first five lines that a program wrote
them (Codex, arXiv 2107.03374; CodeParrot). What depends on a file's extension (HTML, JSON, YAML)
is left out: a document has none. Data files fall by few letters, long lines or as XML."""

CODE_CODEX: Final = (
    *_LINES,
    Rule("code_few_alphanumerics", "alphanumeric_character_ratio", "below", 0.25),
    _GENERATED,
)
"""Source code by the older rule of Codex (Chen et al. 2021, arXiv 2107.03374) with CodeParrot's
numbers: digits count as letters do, so tables of numbers stay."""

MATH: Final = (
    Rule("math_end_ellipsis", "ellipsis_line_ratio", "above", 0.3),
    Rule("math_few_words", "alphabetic_token_ratio", "below", 0.2),
    Rule("math_few_stop_words", "stop_words", "below", 2),
    Rule("math_ellipsis", "ellipsis_ratio", "above", 0.5),
    Rule("math_bullets", "bullet_line_ratio", "above", 0.9),
    Rule("math_short_doc", "content_characters", "below", 200),
)
"""Mathematical text as MathPile chose it (Wang et al. 2023, arXiv 2312.17120, and the filtering
script it released): Gopher's rules with limits that formulas can pass, "#" not held against a text.
Two of its rules are about words between spaces and do not carry over (capitals, mean length of
words: a formula is many words of one letter here); bullets, and stop words counted once each, are
Gopher's.
Whether a page is about mathematics at all, the published sets ask a classifier."""

RULE_SETS: Final[Mapping[str, tuple[Rule, ...]]] = {
    "gopher": GOPHER,
    "gopher_repetition": GOPHER_REPETITION,
    "c4": C4,
    "c4_fineweb": C4_FINEWEB,
    "fineweb": FINEWEB,
    "code": CODE,
    "code_codex": CODE_CODEX,
    "math": MATH,
}


_FAMILIES: Final = ("fineweb2", "fineweb2/<lang_Script>", "multilingual")


def published(name: str) -> tuple[tuple[Rule, ...], str | None]:
    """Return the rules of a name, and the lang_Script they are for where it says one.

    Names are those of RULE_SETS, `fineweb2` (limits by the language of each document),
    `fineweb2/<lang_Script>`, and `multilingual` (rules by what each document is written in).
    """
    from filters import multilingual  # it is made of the tables above

    if name == multilingual.NAME:
        return multilingual.family(), None
    if name == fineweb2.FAMILY:
        return fineweb2.family(), None
    if name.startswith(f"{fineweb2.FAMILY}/"):
        language = name.partition("/")[2]
        return fineweb2.rules_of(language), language
    if name not in RULE_SETS:
        raise unknown("rule set", name, (*RULE_SETS, *_FAMILIES))
    return RULE_SETS[name], None
