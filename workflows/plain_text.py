"""Text of a model or of a stranger, made safe to print: it moves no cursor and hides nothing."""

import unicodedata

_HIDING = frozenset(
    "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"
)


def plain(text: str) -> str:
    """Return a text whose control characters and direction marks are written out (\\x1b, \\u202e).

    Line breaks and tabs stay.
    """
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    if unicodedata.category(character) in ("Cc", "Cs") or character in _HIDING:
        return character.encode("unicode_escape").decode()
    return character
