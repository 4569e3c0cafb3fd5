"""Any value of a record as text that Arrow and JSON can hold; nothing fails, nothing is lost."""

import base64
import json
from collections.abc import Mapping

_SHOWN = 2000
"""Characters of a broken record that are kept for whoever looks into it."""


def readable(content: bytes) -> str:
    """Return the beginning of broken content; bytes that are no text appear as escapes."""
    return content[:_SHOWN].decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def shown(value: object) -> str:
    """Return the beginning of a value as JSON."""
    try:
        return as_json(value)[:_SHOWN]
    except RecursionError:
        return f"a {type(value).__name__}, nested too deeply to be shown"


def as_json(value: object) -> str:
    """Return any value of a JSON or Parquet record as JSON that Arrow can store.

    Raises:
        RecursionError: it is nested a thousand levels deep.
    """
    try:
        text = _encoded(value)
    except (ValueError, TypeError):  # JSON has no nan, and no names but strings
        text = _encoded(_plain(value))
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _foreign(value: object) -> object:
    """Return a value that JSON does not know as one that it does."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return _plain(value) if isinstance(value, Mapping) else str(value)


_encoded = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_foreign).encode
