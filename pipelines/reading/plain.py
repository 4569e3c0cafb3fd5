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
    return as_json(value)[:_SHOWN]


def as_json(value: object) -> str:
    """Return any value of a JSON or Parquet record as JSON that Arrow can store."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # JSON has no nan and no infinity
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return str(value)
