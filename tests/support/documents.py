"""Small real-looking corpora for tests: deterministic, with duplicates and things to drop."""

import json
from pathlib import Path

_TEXT = (
    "the quick study of river water shows that many small streams carry sand and clay to the sea "
    "while farmers have used canals with gates of wood and stone for a long time and they keep "
    "records of rain and harvest in large books which scholars read today to learn about weather"
)
_WORDS = _TEXT.split()


def prose(number: int, words: int = 90) -> str:
    """Return a paragraph that passes the Gopher rules and differs from every other number's."""
    picked = []
    state = number * 2654435761 % 2**32
    for _ in range(words):
        state = (state * 1664525 + 1013904223) % 2**32
        picked.append(_WORDS[state % len(_WORDS)])
    text = " ".join(picked)
    return f"Report {number} says that {text}. It was written to be read with care."


def write_jsonl(path: Path, count: int, *, start: int = 0) -> Path:
    """Write `count` good documents, one exact copy and one that is too short."""
    rows = [
        {"text": prose(start + i), "url": f"https://example.org/{start + i}"} for i in range(count)
    ]
    rows.append({"text": prose(start)})
    rows.append({"text": "Too short to keep."})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
