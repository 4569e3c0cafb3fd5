"""What the publisher of a document allows: its licence, and its directives for robots.

Both are read from columns of the documents (`license`, `robots`), or else from the JSON object in
the column `metadata`, where readers keep every field they found, under any of the names below.
"""

import json
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import pyarrow as pa

LICENCE_NAMES: Final = ("license", "licence", "x-license", "rights")
ROBOTS_NAMES: Final = ("robots", "x-robots-tag", "meta_robots")

_AGENT_FREE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
"""Directives that have a colon of their own: what stands before it is no robot's name."""


def licences(documents: pa.Table) -> list[str]:
    """Return the licence of each document in lower case, "" where it names none."""
    return [", ".join(words).lower() for words in _fields(documents, LICENCE_NAMES)]


def licence_allowed(licence: str, allowed: Sequence[str], denied: Sequence[str]) -> bool | None:
    """Return whether a licence may be used; None where the document names none.

    Patterns as of a shell ("cc-by-*", "*-nc-*"), in any case. One that is denied is never allowed;
    without a list of allowed ones all others are.
    """
    if not licence:
        return None
    if any(fnmatchcase(licence, pattern.lower()) for pattern in denied):
        return False
    return not allowed or any(fnmatchcase(licence, pattern.lower()) for pattern in allowed)


def robots(documents: pa.Table) -> list[set[str]]:
    """Return the directives of each document in lower case, of headers and of meta tags alike."""
    return [
        {directive for words in field for directive in _directives(words)}
        for field in _fields(documents, ROBOTS_NAMES)
    ]


def _directives(header: str) -> Iterator[str]:
    """Yield "noai" and "noindex" of "noai, googlebot: noindex"; "none" is its two meanings too."""
    for part in header.lower().split(","):
        name, colon, rest = (piece.strip() for piece in part.partition(":"))
        directive = rest if colon and name not in _AGENT_FREE else name
        if directive == "none":
            yield from ("noindex", "nofollow")
        if directive:
            yield directive


def _fields(documents: pa.Table, names: Sequence[str]) -> list[list[str]]:
    """Return what each document says under the first of some names that it has, as words."""
    column = next((name for name in documents.column_names if name.lower() in names), None)
    if column is not None:
        return [list(_words(value)) for value in documents[column].to_pylist()]
    if "metadata" not in documents.column_names:
        return [[]] * documents.num_rows
    return [list(_words(_named(text, names))) for text in documents["metadata"].to_pylist()]


def _named(metadata: str | None, names: Sequence[str]) -> Any:
    """Return the value of the first name that stands in a JSON object, also one level down."""
    lower = (metadata or "").lower()
    if not any(name in lower for name in names):
        return None
    try:
        found = json.loads(metadata or "")
    except ValueError:
        return None
    inner = (
        [value for value in found.values() if isinstance(value, dict)]
        if isinstance(found, dict)
        else []
    )
    for level in (found, *inner):
        by_name = (
            {str(key).lower(): value for key, value in level.items()}
            if isinstance(level, dict)
            else {}
        )
        for name in names:
            if by_name.get(name) not in (None, ""):
                return by_name[name]
    return None


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, list):
        yield from (str(item).strip() for item in value if item is not None)
