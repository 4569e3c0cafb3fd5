"""Which document of a cluster stays: numbers and words to sort by, smallest first."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedup.config import DedupConfig
from pipelines.errors import InputError

_LAST = float("inf")


class Rank(NamedTuple):
    """What decides before length and id do: `first`, then `second`, the smaller the better."""

    first: pa.Array
    second: pa.Array


def _longest(documents: pa.Table, config: DedupConfig) -> Rank:
    return _ranked([0.0] * documents.num_rows)


def _score(documents: pa.Table, config: DedupConfig) -> Rank:
    name = config.score_column
    if name not in documents.column_names:
        there = ", ".join(documents.column_names)
        raise InputError(
            f"score_column: the documents have no column '{name}'; allowed: a numeric one of "
            f"{there}. Name another, or choose keep: longest."
        )
    scores = pc.cast(documents[name], pa.float64()).to_pylist()
    return _ranked([_LAST if s is None or s != s else -s for s in scores])  # noqa: PLR0124


def _earliest(documents: pa.Table, config: DedupConfig) -> Rank:
    dates = [_date(text, config.date_field) for text in documents["metadata"].to_pylist()]
    return Rank(pa.array(dates, pa.float64()), pc.fill_null(documents["source"], ""))


def _preferred(documents: pa.Table, config: DedupConfig) -> Rank:
    place = {source: float(at) for at, source in enumerate(config.preferred_sources)}
    return _ranked([place.get(source, _LAST) for source in documents["source"].to_pylist()])


POLICIES: Mapping[str, Callable[[pa.Table, DedupConfig], Rank]] = {
    "longest": _longest,
    "score": _score,
    "earliest": _earliest,
    "preferred_sources": _preferred,
}


def rank(documents: pa.Table, config: DedupConfig) -> Rank:
    """Return how good each document is to keep under the config's policy."""
    return POLICIES[config.keep](documents, config)


def _ranked(first: list[float]) -> Rank:
    return Rank(pa.array(first, pa.float64()), pa.array([""] * len(first), pa.string()))


def _date(metadata: str | None, field: str) -> float:
    """Return a date of the metadata as seconds since 1970; without one, the end of time."""
    try:
        found = json.loads(metadata or "{}")
        date = datetime.fromisoformat(found[field])
    except (ValueError, KeyError, TypeError):
        return _LAST
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
