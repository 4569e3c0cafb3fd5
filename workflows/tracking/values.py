"""Values as MLflow takes them: names it allows, texts cut to its limits, the ledger as metrics."""

import hashlib
import json
import math
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

NAME_LIMIT = 250
PARAM_LIMIT = 6000
TAG_LIMIT = 8000
INPUT_TAG_LIMIT = 500
DATASET_NAME_LIMIT = 500
DIGEST_LIMIT = 36

_FORBIDDEN = re.compile(r"[^\w.\- :/]")


def cut(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters; one that was cut ends with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def name(text: str) -> str:
    """Return `text` as a metric or parameter name; names that differ stay different."""
    fits = len(text) <= NAME_LIMIT and not _FORBIDDEN.search(text)
    if fits and posixpath.normpath(text) == text and text[0] not in "./":
        return text
    cleaned = _FORBIDDEN.sub("_", text).replace("/", "_").strip(".")
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{cleaned[: NAME_LIMIT - len(mark) - 1]}-{mark}"


def params(config: Mapping[str, Any]) -> dict[str, str]:
    """Flatten a config: {"a": {"b": [1, 2]}} -> {"a.b": "[1, 2]"}; long values are cut."""
    return {
        name(key): cut(value if isinstance(value, str) else json.dumps(value), PARAM_LIMIT)
        for key, value in _flat(config, "")
    }


def _flat(value: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{at}{key}.")
        else:
            yield f"{at}{key}", inner


def tags(values: Mapping[str, object]) -> dict[str, str]:
    """Return tags as text cut to the limit, without those that are None."""
    return {key: cut(str(value), TAG_LIMIT) for key, value in values.items() if value is not None}


def metrics(values: Mapping[str, Any]) -> dict[str, float]:
    """Return metrics under allowed names; null, JSON's word for NaN, shows as NaN."""
    return {name(key): math.nan if v is None else float(v) for key, v in values.items()}


def ledger_metrics(ledger: Mapping[str, Any]) -> dict[str, float]:
    """Return a ledger's books: {rows,bytes}/entered, /kept, /dropped and /dropped/RULE."""
    counts = {"entered": ledger["entered"], "kept": ledger["kept"]}
    dropped: Mapping[str, Mapping[str, int]] = ledger["dropped"]
    counts["dropped"] = {
        unit: sum(count[unit] for count in dropped.values()) for unit in ("rows", "bytes")
    }
    counts.update({f"dropped/{rule}": count for rule, count in dropped.items()})
    return {
        name(f"{unit}/{key}"): float(count[unit])
        for key, count in counts.items()
        for unit in ("rows", "bytes")
    }
