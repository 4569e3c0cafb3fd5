"""Text from corpora, file names and configs, made safe to print on a terminal."""


def plain(text: str) -> str:
    """Return text on one line with nothing in it that a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
