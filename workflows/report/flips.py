"""Which documents two filters judge differently, and what differs in their rules."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from filters.rules import Rule
from pipelines.filter import FilterConfig, rules_of
from pipelines.shards import read_table
from workflows.artifact import Artifact
from workflows.report.facts import check_is_filter, rows_with

KEPT, ABSENT = "kept", "not there"
_EXAMPLES = 3
_AT_ONCE = 4_000_000
"""Documents joined at once; more go by the beginning of their ids, which are hashes."""
_HEX = "0123456789abcdef"


@dataclass(frozen=True)
class Verdict:
    """What one side says of a document; value and limit are those of the rule that drops it."""

    feature: str
    value: float | None
    limit: float | None

    @property
    def is_below(self) -> bool:
        """Whether the value was too low."""
        return self.value is not None and self.limit is not None and self.value < self.limit


@dataclass
class Example:
    """A document whose fate changed."""

    doc_id: str
    text: str = ""
    language: str = ""
    before: Verdict | None = None
    now: Verdict | None = None
    """None where that side keeps it, or has no such document."""


@dataclass
class Flip:
    """Documents that went from one fate (a rule, KEPT, ABSENT) to another."""

    before: str
    now: str
    documents: int
    examples: list[Example] = field(default_factory=list)

    @property
    def changes_what_is_kept(self) -> bool:
        """Whether these are in one result and not in the other."""
        return KEPT in (self.before, self.now)


@dataclass(frozen=True)
class RuleChange:
    """A rule on both sides: its limit (None: it was not asked), and how often it is the reason."""

    name: str
    before: Rule | None
    now: Rule | None
    reason_before: int
    reason_now: int

    @property
    def moved(self) -> bool:
        """Whether the rule is not the same on both sides."""
        return self.before != self.now


@dataclass(frozen=True)
class Comparison:
    """Two filter artifacts, document by document."""

    before: Artifact
    now: Artifact
    rules: list[RuleChange]
    flips: list[Flip]
    """Of what is kept first, then the most frequent first."""
    same: int
    """Documents of the same fate on both sides."""

    @property
    def flipped(self) -> int:
        """Documents that one side keeps and the other drops."""
        fates = {KEPT, ABSENT}
        return sum(
            flip.documents
            for flip in self.flips
            if flip.changes_what_is_kept and {flip.before, flip.now} != fates
        )

    @property
    def reasons(self) -> int:
        """Documents that both sides drop, for different rules."""
        return sum(
            flip.documents for flip in self.flips if not {KEPT, ABSENT} & {flip.before, flip.now}
        )


def comparison(before: Artifact, now: Artifact) -> Comparison:
    """Compare two filter artifacts; UsageError where one is of another kind."""
    for artifact in (before, now):
        check_is_filter(artifact)
    counts: dict[tuple[str, str], Flip] = {}
    same = 0
    for prefix in _prefixes(max(a.manifest.ledger.entered.rows for a in (before, now))):
        joined = _fates(before, prefix).join(
            _fates(now, prefix), "doc_id", join_type="full outer", right_suffix="_now"
        )
        for old, new, part in _groups(joined):
            if old == new:
                same += part.num_rows
                continue
            flip = counts.setdefault((old, new), Flip(old, new, 0))
            flip.documents += part.num_rows
            if len(flip.examples) < _EXAMPLES:
                ids = part.sort_by("doc_id")["doc_id"].slice(0, _EXAMPLES - len(flip.examples))
                flip.examples += [Example(doc_id) for doc_id in ids.to_pylist()]
    flips = sorted(
        counts.values(),
        key=lambda flip: (not flip.changes_what_is_kept, -flip.documents, flip.before, flip.now),
    )
    _fill_in(before, now, flips)
    return Comparison(before, now, _rule_changes(before, now), flips, same)


def _prefixes(documents: int) -> Iterator[str]:
    """Yield beginnings of ids, of which each document has one."""
    if documents <= _AT_ONCE:
        yield ""
    elif documents <= 16 * _AT_ONCE:
        yield from _HEX
    else:
        yield from (first + second for first in _HEX for second in _HEX)


def _fates(artifact: Artifact, prefix: str) -> pa.Table:
    """Return doc_id and fate of an artifact's documents whose ids begin so."""
    tables = [pa.table({"doc_id": pa.array([], pa.string()), "fate": pa.array([], pa.string())})]
    for path in artifact.as_input().paths("data"):
        ids = read_table(path, ["doc_id"])["doc_id"]
        tables.append(pa.table({"doc_id": ids, "fate": pa.array([KEPT] * len(ids), pa.string())}))
    for path in artifact.as_input().paths("rejects"):
        tables.append(read_table(path, ["doc_id", "rule"]).rename_columns(["doc_id", "fate"]))
    fates = pa.concat_tables([table.cast(tables[0].schema) for table in tables])
    return fates.filter(pc.starts_with(fates["doc_id"], prefix)) if prefix else fates


def _groups(joined: pa.Table) -> Iterator[tuple[str, str, pa.Table]]:
    old, new = (joined[name].fill_null(ABSENT) for name in ("fate", "fate_now"))
    table = pa.table({"doc_id": joined["doc_id"], "old": old, "new": new})
    pairs = (
        table.group_by(["old", "new"])
        .aggregate([])
        .sort_by([("old", "ascending"), ("new", "ascending")])
    )
    for pair in pairs.to_pylist():
        here = pc.and_(pc.equal(old, pair["old"]), pc.equal(new, pair["new"]))
        yield pair["old"], pair["new"], table.filter(here)


def _fill_in(before: Artifact, now: Artifact, flips: list[Flip]) -> None:
    """Read the texts of the examples, and why each side dropped them."""
    examples = {one.doc_id: one for flip in flips for one in flip.examples}
    ids = pa.array(sorted(examples), pa.string())
    for artifact, side in ((before, "before"), (now, "now")):
        for path in artifact.as_input().paths("data"):
            for row in rows_with(path, ids, ["doc_id", "text", "language"]):
                _tell(examples[row["doc_id"]], row)
        columns = ["doc_id", "text", "language", "feature", "value", "limit"]
        for path in artifact.as_input().paths("rejects"):
            for row in rows_with(path, ids, columns):
                _tell(examples[row["doc_id"]], row)
                verdict = Verdict(row["feature"], row["value"], row["limit"])
                setattr(examples[row["doc_id"]], side, verdict)


def _tell(one: Example, row: dict[str, Any]) -> None:
    one.text, one.language = row["text"], row["language"] or ""


def _rule_changes(before: Artifact, now: Artifact) -> list[RuleChange]:
    sides: list[Any] = []
    for artifact in (before, now):
        config = FilterConfig.model_validate(artifact.manifest.config)
        rules = {rule.name: rule for rule in rules_of(config).rules}
        counts = {name: count.rows for name, count in artifact.manifest.ledger.dropped.items()}
        sides.append((rules, counts))
    (old, old_counts), (new, new_counts) = sides
    names = list(dict.fromkeys([*new, *old, *new_counts, *old_counts]))
    return [
        RuleChange(
            name, old.get(name), new.get(name), old_counts.get(name, 0), new_counts.get(name, 0)
        )
        for name in names
    ]
