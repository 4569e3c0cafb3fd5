"""What differs between two runs or two artifacts, and which of it explains the changed results."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.ledger import Count, Ledger
from workflows.lineage.runs import Side, StageRecord

State = Literal["same", "same content", "changed", "only in A", "only in B", "unfinished"]
Where = Literal[
    "kind", "config", "code", "input", "source", "version", "package", "commit", "ledger",
    "metric", "seconds",
]  # fmt: skip

_CAUSES: tuple[Where, ...] = ("kind", "config", "code", "source", "version")
"""What a stage's result follows from, besides the content of its inputs."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same on both sides; None where a side has no such thing."""

    where: Where
    field: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Cause:
    """A difference from which a changed result follows, and the stage it stands in."""

    stage: str
    of: Difference


@dataclass(frozen=True)
class StageChange:
    """What became of one stage between A and B."""

    name: str
    state: State
    digests: tuple[str, str]
    differences: tuple[Difference, ...] = ()
    causes: tuple[Cause, ...] = ()
    """The roots that explain a changed digest, its own first."""
    unexplained: str = ""
    """Why a changed digest has no cause: the stage is not deterministic, or cannot be told."""


@dataclass(frozen=True)
class Comparison:
    """All stages of both sides, in the order of B, then what only A has."""

    a: Side
    b: Side
    stages: tuple[StageChange, ...]

    @property
    def roots(self) -> list[Cause]:
        """The differences from which all explained changes follow, each once."""
        return _once(cause for stage in self.stages for cause in stage.causes)


def _once(causes: Iterable[Cause]) -> list[Cause]:
    return list({(c.stage, c.of.where, c.of.field): c for c in causes}.values())


def compare(a: Side, b: Side) -> Comparison:
    """Compare two sides stage by stage; stages are the same where their names are."""
    if a.top and b.top and a.top != b.top:  # two artifacts are a pair whatever they are called
        before = {name: one for name, one in b.stages.items() if name != b.top}
        b = replace(b, stages={**before, a.top: b.stages[b.top]})
    changes: dict[str, StageChange] = {}
    for name in _upstream_first(b.stages):
        changes[name] = _stage(name, a.stages.get(name), b.stages[name], changes)
    for name in a.stages:
        if name not in changes:
            changes[name] = _stage(name, a.stages[name], None, changes)
    return Comparison(a, b, tuple(changes.values()))


def _upstream_first(stages: Mapping[str, StageRecord]) -> list[str]:
    """Return the names so that inputs come first; a journal of parallel stages need not."""
    ordered: dict[str, None] = {}

    def visit(name: str, above: frozenset[str]) -> None:
        if name in ordered or name in above or name not in stages:
            return
        for ref in stages[name].inputs.values():
            visit(str(ref["name"]), above | {name})
        ordered[name] = None

    for name in stages:
        visit(name, frozenset())
    return list(ordered)


def _stage(
    name: str, a: StageRecord | None, b: StageRecord | None, done: Mapping[str, StageChange]
) -> StageChange:
    if a is None or b is None:
        digests = (a.digest if a else "", b.digest if b else "")
        return StageChange(name, "only in B" if a is None else "only in A", digests)
    found = tuple(differences(a, b))
    digests = (a.digest, b.digest)
    if not a.digest or not b.digest:
        return StageChange(name, "unfinished", digests, found)
    if a.digest == b.digest:
        return StageChange(name, "same" if a.key == b.key else "same content", digests, found)
    causes, unexplained = _explained(name, a, b, found, done)
    return StageChange(name, "changed", digests, found, causes, unexplained)


def _explained(
    name: str,
    a: StageRecord,
    b: StageRecord,
    found: tuple[Difference, ...],
    done: Mapping[str, StageChange],
) -> tuple[tuple[Cause, ...], str]:
    causes = [Cause(name, one) for one in found if one.where in _CAUSES]
    doubts = []
    for one in found:
        if one.where != "input":
            continue
        before, after = a.inputs.get(one.field), b.inputs.get(one.field)
        if before is None or after is None or before["name"] != after["name"]:
            causes.append(Cause(name, one))  # the recipe fills the slot from another stage
            continue
        above = done.get(str(after["name"]))
        if above is None or not above.causes:
            doubts.append(f"its input {after['name']} changed, and nothing explains that")
        causes += above.causes if above else ()
    if causes:
        return tuple(_once(causes)), ""
    if doubts:
        return (), "; ".join(doubts)
    if a.key == b.key:
        return (), "same key, other content: the stage is not deterministic"
    if a.manifest is None or b.manifest is None:
        return (), "cannot be told: the manifest of one side was removed"
    return (), "nothing that counts for its key is known to differ"


def differences(a: StageRecord, b: StageRecord) -> Iterator[Difference]:
    """Yield what differs between two records of a stage: causes first, then effects."""
    if a.kind != b.kind:
        yield Difference("kind", "kind", a.kind, b.kind)
    yield from _changed("config", a.config, b.config)
    yield from _from_manifests(a, b)
    for slot in sorted(a.inputs.keys() | b.inputs.keys()):
        before, after = _label(a.inputs.get(slot)), _label(b.inputs.get(slot))
        if before != after:
            yield Difference("input", slot, before, after)
    yield from _changed("ledger", _books(a.ledger, b.ledger), _books(b.ledger, a.ledger))
    yield from _changed("metric", a.metrics, b.metrics)
    if a.seconds != b.seconds:
        yield Difference("seconds", "seconds", a.seconds, b.seconds)


def _from_manifests(a: StageRecord, b: StageRecord) -> Iterator[Difference]:
    before, after = a.manifest, b.manifest
    if before is None or after is None:
        return
    yield from _changed("source", _mapping(before.outside), _mapping(after.outside))
    if before.code_hash != after.code_hash:
        yield from _code(before.code_parts, after.code_parts)
    if before.version != after.version:
        yield Difference("version", "version", before.version, after.version)
    yield from _changed("package", before.packages, after.packages)
    for field in ("commit", "dirty_diff"):
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            yield Difference("commit", field, old, new)


def _code(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[Difference]:
    for part in sorted(a.keys() | b.keys()):
        if a.get(part) != b.get(part):
            yield Difference("code", part, a.get(part), b.get(part))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {"value": value}


def _books(ledger: Ledger | None, other: Ledger | None) -> Mapping[str, Any]:
    """Return the rows of a ledger, with a 0 for the rules that only the other one applied."""
    if ledger is None:
        return {}
    rules = [*ledger.dropped, *(other.dropped if other else ())]
    dropped = {f"dropped {rule}": ledger.dropped.get(rule, Count()).rows for rule in rules}
    books = {"entered": ledger.entered.rows, "kept": ledger.kept.rows}
    return {**books, "added": ledger.added.rows, **dropped}


def _label(ref: Mapping[str, Any] | None) -> str | None:
    return f"{ref['name']}@{str(ref['digest'])[:12]}" if ref else None


def _changed(
    where: Where, a: Mapping[str, Any], b: Mapping[str, Any], at: str = ""
) -> Iterator[Difference]:
    """Yield the fields of nested mappings that differ; lists are compared as a whole."""
    for name in sorted(a.keys() | b.keys()):
        old, new = a.get(name), b.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changed(where, old, new, f"{at}{name}.")
        else:
            yield Difference(where, f"{at}{name}", old, new)
