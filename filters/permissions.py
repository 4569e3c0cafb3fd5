"""What the publisher of a document allows: its licence, and its directives for robots.

Both are read from columns of the documents (`license`, `robots`), or else from the JSON object in
the column `metadata`, where readers keep every field they found, under any of the names below.
"""

import json
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import pyarrow as pa

LICENCE_NAMES: Final = ("license", "licence", "x-license", "rights")
ROBOTS_NAMES: Final = ("robots", "x-robots-tag", "meta_robots")

_CREATIVE_COMMONS: Final = re.compile(
    r"(?:https?:)?(?://)?(?:www\.)?creativecommons\.org/"
    r"(?:licenses/([a-z]+(?:-[a-z]+)*)|publicdomain/(zero|mark))(?:/([0-9.]+))?[^,]*"
)
_AGENT_FREE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
"""Directives that have a colon of their own: what stands before it is no robot's name."""


def licences(documents: pa.Table) -> list[str]:
    """Return the licence of each document in lower case, "" where it names none."""
    return [
        ", ".join(_words(next(iter(values), None))).lower()
        for values in _fields(documents, LICENCE_NAMES)
    ]


def licence_allowed(licence: str, allowed: Sequence[str], denied: Sequence[str]) -> bool | None:
    """Return whether a licence may be used; None where the document names none.

    Patterns as of a shell ("cc-by-*", "*-nc", "*-nc-*"), in any case, for the licence as it is
    written or as `short` writes it. One that is denied is never allowed; without a list of allowed
    ones all others are.
    """
    if not licence:
        return None
    written = {licence, short(licence)}
    if _match(written, denied):
        return False
    return not allowed or _match(written, allowed)


def short(licence: str) -> str:
    """Return a licence in lower case with its Creative Commons addresses as names, no spaces.

    "https://creativecommons.org/licenses/by-nc/4.0/deed.de" and "CC BY-NC 4.0" are "cc-by-nc-4.0",
    ".../publicdomain/zero/1.0" is "cc0-1.0", ".../publicdomain/mark/1.0" "pdm-1.0".
    """
    named = _CREATIVE_COMMONS.sub(_name, licence.lower())
    return re.sub(r"(?<![,\s])\s+", "-", named)


def _name(address: re.Match[str]) -> str:
    kind, public, version = address.groups()
    name = f"cc-{kind}" if kind else {"zero": "cc0", "mark": "pdm"}[public]
    return f"{name}-{version}" if version else name


def _match(written: set[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern.lower()) for name in written for pattern in patterns)


def robots(documents: pa.Table) -> list[set[str]]:
    """Return the directives of each document in lower case, of headers and of meta tags alike."""
    return [
        {
            directive
            for value in values
            for words in _words(value)
            for directive in _directives(words)
        }
        for values in _fields(documents, ROBOTS_NAMES)
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


def _fields(documents: pa.Table, names: Sequence[str]) -> list[list[Any]]:
    """Return what each document says under some names that it has."""
    column = next((name for name in documents.column_names if name.lower() in names), None)
    if column is not None:
        return [[value] for value in documents[column].to_pylist()]
    if "metadata" not in documents.column_names:
        return [[]] * documents.num_rows
    return [list(_named(text, names)) for text in documents["metadata"].to_pylist()]


def _named(metadata: str | None, names: Sequence[str]) -> Iterator[Any]:
    """Yield the values of names that stand in a JSON object, then those one level down."""
    lower = (metadata or "").lower()
    if not any(name in lower for name in names):
        return
    try:
        found = json.loads(metadata or "")
    except ValueError:
        return
    if not isinstance(found, dict):
        return
    for level in (found, *(value for value in found.values() if isinstance(value, dict))):
        by_name = {str(key).lower(): value for key, value in level.items()}
        yield from (by_name[name] for name in names if by_name.get(name) not in (None, ""))


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, list):
        yield from (str(item).strip() for item in value if item is not None)
