"""The statistics of filters.features again, slow and plain, written from their definitions."""

import itertools
import re
import unicodedata
from collections import Counter

import regex

from filters import fineweb2
from filters.features import CODE_CHARACTERS, MATH_COMMANDS, STOP_WORDS
from filters.kernels import characters as c
from filters.kernels.c4_lines import ABBREVIATIONS

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


def statistics(text: str, script: str | None = None) -> dict[str, float | str | None]:
    """Every statistic of one text in a lang_Script."""
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
        **c4("c4", text, terminal=True),
        **c4("c4_fineweb", text, terminal=False),
        **fineweb(text, len(tokens)),
        "language_stop_words": stop_words(tokens, script),
        **characters(text, len(tokens)),
        **route(text, len(tokens), script),
    }


def c4(prefix: str, text: str, terminal: bool) -> dict[str, int]:
    """C4's line rules as they are told in filters/kernels/c4_lines.py, with `re` and `str`."""
    count, lorem, curly = 0, 0, 0
    for raw in text.splitlines():
        line = raw.strip()
        parts = line.split()
        if any(len(part) > 1000 for part in parts):
            continue
        line = re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", line)
        if terminal and (line.endswith("...") or not line.endswith((".", "?", "!", '"', "'"))):
            continue
        if len(parts) < 3:
            continue
        lower = line.lower()
        if "lorem ipsum" in lower:
            lorem += 1
        elif "javascript" in lower:
            continue
        elif "{" in line:
            curly += 1
        elif not any(phrase in lower for phrase in POLICY):
            count += sentences(line)
    return {
        f"{prefix}_sentences": count,
        f"{prefix}_lorem_ipsum_lines": lorem,
        f"{prefix}_curly_bracket_lines": curly,
    }


POLICY = (
    "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies",
    "use cookies",
)  # fmt: skip
NARROW = {mark for mark in c.TERMINAL_MARKS if mark.isascii()}
BETWEEN = c.PUNCTUATION | c.TERMINAL_MARKS


def without_weak_stops(line: str) -> str:
    """Write a comma for each full stop that ends no sentence whatever follows."""
    lower = "".join(char.lower() if char.isascii() or char == "\u212a" else char for char in line)
    short = "|".join(("[a-z]", r"[a-z]\.[a-z]", *ABBREVIATIONS))
    weak = {
        at
        for pattern, last in ((r"\.{2,}", False), (rf"(?:^| )(?:{short})\.(?=\s)", True))
        for found in re.finditer(pattern, lower)
        for at in ([found.end() - 1] if last else range(*found.span()))
    }
    return "".join("," if at in weak else char for at, char in enumerate(line))


def sentences(line: str) -> int:
    """Cut into runs of characters that may lie between sentences, and of those that may not."""
    line = line.strip()
    if not line:
        return 0
    line = without_weak_stops(line)
    runs = [[line[0]]]
    for previous, char in itertools.pairwise(line):
        if (previous in BETWEEN or previous.isspace()) == (char in BETWEEN or char.isspace()):
            runs[-1].append(char)
        else:
            runs.append([char])
    count = 1
    for run, after in itertools.pairwise(runs):
        if after[0] in BETWEEN or after[0].isspace():
            continue
        wide = any(char in c.TERMINAL_MARKS - NARROW for char in run)
        spaced = any(
            char in c.TERMINAL_MARKS and any(map(str.isspace, run[at:]))
            for at, char in enumerate(run)
        )
        count += wide or spaced
    return count


def fineweb(text: str, tokens: int) -> dict[str, float]:
    lines = [line for line in text.split("\n") if line.strip()]
    inside = len(text.replace("\n", ""))
    again = [line for at, line in enumerate(lines) if line in lines[:at]]
    return {
        "chunk_cuts": 0,
        "unmeasured_bytes": 0,
        "marked_line_ratio": over(sum(line[-1] in c.TERMINAL_MARKS for line in lines), len(lines)),
        "short_line_ratio": over(sum(len(line) <= 30 for line in lines), len(lines)),
        "repeated_nonblank_line_character_ratio": over(sum(map(len, again)), inside),
        "newline_ratio": over(text.count("\n"), tokens),
        "mean_line_length": inside / (text.count("\n") + 1),
        "longest_line": max(map(len, text.split("\n"))),
    }


def stop_words(tokens: list[str], script: str | None) -> int | None:
    if script is None or script not in fineweb2.published():
        return None
    found = 0
    for stop_word in fineweb2.published()[script]["stop_words"]:
        size = len(words(stop_word))
        runs = ("".join(tokens[at : at + size]) for at in range(len(tokens) - size + 1))
        found += "".join(stop_word.split()) in runs
    return found


def characters(text: str, tokens: int) -> dict[str, float]:
    kinds = {
        "alphabetic_character_ratio": str.isalpha,
        "digit_character_ratio": str.isdecimal,
        "white_space_character_ratio": str.isspace,
        "punctuation_character_ratio": c.PUNCTUATION.__contains__,
        "code_character_ratio": set("{}()[];=<>_/\\*&|+").__contains__,
    }
    ratios = {name: over(sum(map(kind, text)), len(text)) for name, kind in kinds.items()}
    return {**ratios, "command_ratio": over(len(re.findall(r"\\[A-Za-z]", text)), tokens)}


def route(text: str, tokens: int, script: str | None) -> dict[str, str | None]:
    found = characters(text, tokens)
    if found["command_ratio"] >= MATH_COMMANDS:
        return {"language_script": script, "route": "math"}
    code = found["code_character_ratio"] >= CODE_CHARACTERS
    return {"language_script": script, "route": "code" if code else script}


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
