"""Bytes of a web page as text: what it declares is believed as far as the bytes agree."""

import codecs
import re
from typing import NamedTuple

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_META = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE
)
_META_WITHIN = 4096
_SET_BY_DEFAULT = frozenset({"windows-1252", "utf-8"})
"""What servers and templates declare unasked; HTML reads Latin-1 and ASCII as windows-1252."""


class Decoded(NamedTuple):
    """A text, the encoding it was read in, and how many of its characters could not be read."""

    text: str
    charset: str
    unreadable: int


def decoded(body: bytes, declared: str | None) -> Decoded:
    """Return the text of a page whose HTTP header declares `declared`.

    In this order: a byte order mark; UTF-8 where the bytes are UTF-8 (other text never is by
    chance); the declared encoding, unless servers set it by default and the bytes look otherwise;
    what the bytes look like. Only when none fits are single characters replaced, and counted.
    """
    for mark, codec in _MARKS:
        if body.startswith(mark):
            return _lossy(body, codec)
    text = _strict(body, "utf-8")
    if text is not None:
        return Decoded(text, "utf-8", 0)
    named = [_known(name) for name in (declared, _in_meta(body)) if name]
    likely = _known(detect_encoding(body) or "")
    trusted = [name for name in named if name not in _SET_BY_DEFAULT]
    fitting = [name for name in (*trusted, likely, *named) if name]
    for codec in fitting:
        text = _strict(body, codec)
        if text is not None:
            return Decoded(text, codec, 0)
    return _lossy(body, next(iter(fitting), "utf-8"))


def _strict(body: bytes, codec: str) -> str | None:
    try:
        return body.decode(codec)
    except ValueError:
        return None


def _lossy(body: bytes, codec: str) -> Decoded:
    text = body.decode(codec, "replace")
    return Decoded(text, codec.removesuffix("-sig"), text.count("\ufffd"))


def _in_meta(body: bytes) -> str | None:
    found = _META.search(body, 0, _META_WITHIN)
    return found.group(1).decode("ascii") if found else None


def _known(name: str) -> str | None:
    """Return the name under which Python knows an encoding of the web, None where it does not."""
    label = name.strip().strip("\"'")
    codec = map_encoding_to_html5(label, False) or label
    try:
        codecs.lookup(codec)
    except (LookupError, ValueError):
        return None
    return codec
