"""The statistics of filters.features again, slow and plain, written from their definitions."""

import re
import unicodedata
from collections import Counter

import regex

from filters.features import STOP_WORDS
from filters.kernels import characters as c

UNSPACED = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}"
SINGLE = rf"[\p{{Han}}\p{{Hiragana}}{UNSPACED}]"


def word_class(character: str) -> str:
    """One letter a class; written with `regex`'s own Unicode scripts, not with our ranges."""
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if category.startswith("M") or category == "Cf":
        return "e"
    if not (category[0] in "LN" or category == "Pc"):
        return "y"
    if regex.match(SINGLE, character) and category != "Nd":
        return "s"
    if regex.match(r"\p{Katakana}|[ーｰﾞﾟ]", character):
        return "k"
    return "w"


def words(text: str) -> list[str]:
    """Split by the grammar of filters/text.py, one token at a time."""
    tokens: list[str] = []
    classes = [word_class(character) for character in text]
    at = 0
    while at < len(text):
        if classes[at] == " ":
            at += 1
            continue
        start, kind, base = at, classes[at], text[at]
        at += 1
        while at < len(text):
            if classes[at] == "e":
                at += 1
            elif _continues(text, classes, at, kind, base):
                base = base if classes[at] == "y" and kind == "w" else text[at]
                at += 1
            else:
                break
        tokens.append(text[start:at])
    return tokens


def _continues(text: str, classes: list[str], at: int, kind: str, base: str) -> bool:
    if kind == "w" and classes[at] == "w":
        return True
    if kind == "k" and classes[at] == "k":
        return True
    if kind == "y":
        return text[at] == base
    if kind != "w" or at + 1 == len(text):
        return False
    follower = text[at + 1]
    if text[at] in "'’":
        return classes[at + 1] == "w"
    return text[at] in ".," and base.isdecimal() and follower.isdecimal()


def statistics(text: str) -> dict[str, float]:
    """Every statistic of one text."""
    tokens = words(text)
    real = [token for token in tokens if any(char not in c.PUNCTUATION for char in token)]
    lines = text.splitlines()
    paragraphs = repeated(re.split(r"\n{2,}", text.strip()), len(text))
    split_lines = repeated(re.split(r"\n+", text), len(text))
    return {
        "characters": len(text),
        "tokens": len(tokens),
        "words": len(real),
        "mean_word_length": over(sum(map(len, real)), len(real)),
        "hash_ratio": over(text.count("#"), len(tokens)),
        "ellipsis_ratio": over(text.count("...") + text.count("…"), len(tokens)),
        "bullet_line_ratio": over(
            sum(line.lstrip().startswith(("•", "-")) for line in lines), len(lines)
        ),
        "ellipsis_line_ratio": over(
            sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)
        ),
        "alphabetic_token_ratio": over(
            sum(any(map(str.isalpha, token)) for token in tokens), len(tokens)
        ),
        "stop_words": len(set(STOP_WORDS) & set(tokens)),
        "lines": len(lines),
        "repeated_paragraph_ratio": paragraphs[0],
        "repeated_paragraph_character_ratio": paragraphs[1],
        "repeated_line_ratio": split_lines[0],
        "repeated_line_character_ratio": split_lines[1],
        **{f"top_{n}_gram_character_ratio": over(top(tokens, n), len(text)) for n in (2, 3, 4)},
        **{
            f"repeated_{n}_gram_character_ratio": over(repeats(tokens, n), len(text))
            for n in range(5, 11)
        },
    }


def over(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def repeated(spans: list[str], characters: int) -> tuple[float, float]:
    again = [span for index, span in enumerate(spans) if span in spans[:index]]
    return len(again) / len(spans), over(sum(map(len, again)), characters)


def top(tokens: list[str], n: int) -> int:
    grams = [" ".join(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]
    return max((len(g) * count for g, count in Counter(grams).most_common(1)), default=0)


def repeats(tokens: list[str], n: int) -> int:
    seen: set[str] = set()
    characters = at = 0
    while at + n <= len(tokens):
        gram = "".join(tokens[at : at + n])
        if gram in seen:
            characters += len(gram)
            at += n
        else:
            seen.add(gram)
            at += 1
    return characters
