"""Read what a report shows from a filter artifact: statistics and verdicts by shard, few texts."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from filters.rules import Rule, occurrences
from pipelines import storage
from pipelines.filter import FilterConfig, rules_of
from pipelines.shards import Role, read_table
from pipelines.storage import StorePath
from workflows.artifact import Artifact
from workflows.errors import UsageError
from workflows.filtering import RuleShare, shares
from workflows.report.histogram import Histogram
from workflows.report.sheet import short

SAMPLES = 3
"""Documents on each side of each limit."""
MOST_SHARDS = 256
"""Shards looked into, of 8 MB as a rule: seconds, however large the corpus."""
_SIDES: tuple[tuple[bool, Role], ...] = ((True, "data"), (False, "rejects"))
_TEXT_READ = 20_000
"""Characters of a text that are searched for what counts."""
_MOST_HOSTS = 100_000
"""Hosts counted at once; beyond, the rarest are forgotten, and the table says 'at least'."""


@dataclass(frozen=True)
class Sample:
    """A document near a limit."""

    doc_id: str
    value: float
    limit: float
    """Of this document: it may be one of its language."""
    reason: str
    """The rule that dropped it, '' where it stayed; near one limit it may have failed another."""
    language: str
    text: str


@dataclass
class RuleFacts:
    """One rule: its limit, what it would drop alone, and documents on both sides of the limit."""

    rule: Rule
    would_drop: int = 0
    inside: list[Sample] = field(default_factory=list)
    outside: list[Sample] = field(default_factory=list)

    @property
    def sign(self) -> str:
        """How a value that is dropped stands to the limit."""
        return "<" if self.rule.drop == "below" else ">"

    @property
    def limit(self) -> str:
        """The limit in words."""
        by_language = len(self.rule.limits or ())
        return f"{by_language:,} limits by language" if by_language else short(self.rule.limit)


@dataclass
class Facts:
    """All that a report shows."""

    artifact: Artifact
    shares: list[RuleShare]
    """Exact, as the ledger is; all below is of the documents looked at."""
    looked_at: int = 0
    """Documents whose statistics were read."""
    is_sample: bool = False
    """Whether that was done for some shards only, spread evenly."""
    words: int = 0
    histograms: dict[str, Histogram] = field(default_factory=dict)
    rules: list[RuleFacts] = field(default_factory=list)
    languages: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Kept and dropped documents by language, the most frequent first."""
    hosts: dict[str, tuple[int, int]] = field(default_factory=dict)


def facts_of(artifact: Artifact, most_shards: int = MOST_SHARDS) -> Facts:
    """Return the facts of a filter artifact; UsageError for another kind.

    What each rule did is exact; all else is of `most_shards` shards, where there are more.
    """
    check_is_filter(artifact)
    config = FilterConfig.model_validate(artifact.manifest.config)
    facts = Facts(artifact, shares(artifact))
    facts.rules = [RuleFacts(rule) for rule in rules_of(config).rules]
    near = [_Near(one.rule) for one in facts.rules]
    every = sorted({entry.shard for entry in artifact.as_input().entries("data")})
    shards = _spread(every, most_shards)
    facts.is_sample = shards is not None
    for path in _paths(artifact, "features", shards):
        _add_statistics(facts, near, read_table(path))
    _add_places(facts, shards)
    _add_texts(facts, near, shards)
    return facts


def _spread(shards: list[str], most: int) -> frozenset[str] | None:
    """Return which shards to look into, None for all."""
    if len(shards) <= most:
        return None
    return frozenset(shards[at * len(shards) // most] for at in range(most))


def _paths(artifact: Artifact, role: Role, shards: frozenset[str] | None) -> Iterator[StorePath]:
    found = artifact.as_input()
    for entry, path in zip(found.entries(role), found.paths(role), strict=True):
        if shards is None or entry.shard in shards:
            yield path


def check_is_filter(artifact: Artifact) -> None:
    """Raise UsageError for what a filter did not make."""
    if artifact.manifest.kind != "filter":
        raise UsageError(
            f"{artifact.folder.name} was made by the kind '{artifact.manifest.kind}'; a report "
            "shows what a filter did or how a model learnt: name a stage of kind filter, pretrain "
            "or sft"
        )


class _Near:
    """The documents nearest to a rule's limit, on both sides."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._heaps: dict[bool, list[tuple[float, str, float, float]]] = {True: [], False: []}

    def add(self, doc_ids: pa.ChunkedArray, values: np.ndarray, limits: np.ndarray) -> int:
        """Take a shard; return how many of its documents the rule drops."""
        fails = self.rule.fails(values, limits)
        with np.errstate(invalid="ignore"):
            distances = np.abs(values - limits)
        for side in (False, True):
            rows = np.flatnonzero((fails == side) & np.isfinite(distances))
            for row in rows[np.argsort(distances[rows], kind="stable")[:SAMPLES]]:
                doc_id = doc_ids[int(row)].as_py()
                entry = (-float(distances[row]), doc_id, float(values[row]), float(limits[row]))
                heapq.heappush(self._heaps[side], entry)
                if len(self._heaps[side]) > SAMPLES:
                    heapq.heappop(self._heaps[side])
        return int(fails.sum())

    def found(self, fails: bool) -> list[tuple[str, float, float]]:
        """Return (doc_id, value, limit) on one side, nearest first."""
        return [entry[1:] for entry in sorted(self._heaps[fails], reverse=True)]


def _add_statistics(facts: Facts, near: list[_Near], statistics: pa.Table) -> None:
    facts.looked_at += statistics.num_rows
    for name in statistics.column_names:
        kind = statistics.schema.field(name).type
        if pa.types.is_floating(kind) or pa.types.is_integer(kind):
            is_share = name.endswith(("_ratio", "_score"))
            histogram = facts.histograms.setdefault(
                name, Histogram(name, is_share, pa.types.is_integer(kind))
            )
            histogram.add(_numbers(statistics[name]))
    for one, candidates in zip(facts.rules, near, strict=True):
        if one.rule.feature in statistics.column_names:
            values = _numbers(statistics[one.rule.feature])
            limits = one.rule.limits_of(statistics)
            one.would_drop += candidates.add(statistics["doc_id"], values, limits)
    if "words" in statistics.column_names:
        facts.words += pc.sum(statistics["words"]).as_py() or 0


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    numbers: np.ndarray = column.cast(pa.float64()).to_numpy()
    return numbers


def _add_places(facts: Facts, shards: frozenset[str] | None) -> None:
    """Count documents by language and host on both sides."""
    languages: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    hosts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for kept, role in _SIDES:
        for path in _paths(facts.artifact, role, shards):
            table = read_table(path, ["language", "url"])
            named = table["language"].fill_null("unknown")
            languages[kept].update(occurrences(named))
            hosts[kept].update(_hosts(table["url"].to_pylist()))
            if len(hosts[kept]) > _MOST_HOSTS:
                hosts[kept] = Counter(dict(hosts[kept].most_common(_MOST_HOSTS // 2)))
    facts.languages, facts.hosts = _both(languages), _both(hosts)


def _hosts(urls: Iterable[str | None]) -> Iterable[str]:
    for url in urls:
        try:
            host = urlsplit(url or "").hostname
        except ValueError:
            host = None
        yield host or "no address"


def _both(counts: Mapping[bool, Counter[str]]) -> dict[str, tuple[int, int]]:
    together = counts[True] + counts[False]
    return {name: (counts[True][name], counts[False][name]) for name, _ in together.most_common(30)}


def _add_texts(facts: Facts, near: list[_Near], shards: frozenset[str] | None) -> None:
    wanted = {doc_id for one in near for side in (False, True) for doc_id, *_ in one.found(side)}
    texts = _texts(facts.artifact, wanted, shards)
    for one, candidates in zip(facts.rules, near, strict=True):
        for fails, samples in ((False, one.inside), (True, one.outside)):
            for doc_id, value, limit in candidates.found(fails):
                if doc_id in texts:
                    row = texts[doc_id]
                    samples.append(
                        Sample(
                            doc_id,
                            value,
                            limit,
                            reason=row.get("rule") or "",
                            language=row["language"] or "",
                            text=row["text"],
                        )
                    )


def _texts(
    artifact: Artifact, wanted: set[str], shards: frozenset[str] | None
) -> dict[str, dict[str, Any]]:
    """Return of the wanted documents text, language and, of those dropped, the rule."""
    found: dict[str, dict[str, Any]] = {}
    ids = pa.array(sorted(wanted), pa.string())
    for kept, role in _SIDES:
        columns = ["doc_id", "text", "language", *([] if kept else ["rule"])]
        for path in _paths(artifact, role, shards):
            for row in rows_with(path, ids, columns):
                found[row["doc_id"]] = row
    return found


def rows_with(path: StorePath, ids: pa.Array, columns: list[str]) -> Iterable[dict[str, Any]]:
    """Yield the rows of a file with one of the ids, a row group at a time, texts cut short."""
    with storage.local(path) as local, pq.ParquetFile(local) as file:
        for group in range(file.num_row_groups):
            here = pc.is_in(file.read_row_group(group, ["doc_id"])["doc_id"], value_set=ids)
            if pc.any(here).as_py():
                rows = file.read_row_group(group, columns).filter(here)
                for row in rows.to_pylist():
                    yield {**row, "text": row["text"][:_TEXT_READ]}
