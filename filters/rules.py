"""A rule is a limit on a statistic; a rule set judges documents by an ordered table of rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from filters import features
from filters.errors import FilterError, unknown
from filters.explanation import Explanation, Finding
from filters.text import check_words

VERDICT: Final = pa.schema(
    [
        pa.field("rule", pa.string()),
        pa.field("feature", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("limit", pa.float64()),
        pa.field("failed_rules", pa.list_(pa.string())),
        pa.field("failed_values", pa.list_(pa.float64())),
        pa.field("failed_limits", pa.list_(pa.float64())),
    ]
)
"""One row a document. The first four are of the first rule that failed, null where none did; the
lists hold every failed rule in order, with the values and the limits."""


@dataclass(frozen=True)
class Rule:
    """Drop a document whose `feature` is strictly below, or strictly above, `limit`."""

    name: str
    feature: str
    drop: Literal["below", "above"]
    limit: float

    def fails(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return which values drop their document; one that is not a number (NaN) does not."""
        return values < self.limit if self.drop == "below" else values > self.limit


@dataclass(frozen=True)
class RuleSet:
    """An ordered table of rules: the first that fails is the reason, every one is recorded."""

    name: str
    rules: tuple[Rule, ...]
    words: str = "unicode"

    def __post_init__(self) -> None:
        check_words(self.words)
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise FilterError(
                f"rule set {self.name!r} has {', '.join(twice)} twice; a rule may occur once: "
                "name each rule set once, and change its limits with limits={rule: limit}"
            )

    @classmethod
    def named(cls, name: str, words: str = "unicode") -> "RuleSet":
        """Return a published rule set (filters/rule_sets.py), for a definition of words."""
        from filters.rule_sets import RULE_SETS  # the table is made of the class above

        if name not in RULE_SETS:
            raise unknown("rule set", name, RULE_SETS)
        return cls(name, RULE_SETS[name], words)

    @classmethod
    def combined(
        cls,
        names: Sequence[str],
        words: str = "unicode",
        limits: Mapping[str, float] | None = None,
    ) -> "RuleSet":
        """Return several rule sets as one, in the order given, with some limits replaced."""
        rules = tuple(rule for name in names for rule in cls.named(name, words).rules)
        return cls("+".join(names), rules, words).with_limits(limits or {})

    def with_limits(self, limits: Mapping[str, float]) -> "RuleSet":
        """Return the same rules with other limits, {rule: limit}."""
        for name, limit in limits.items():
            if name not in {rule.name for rule in self.rules}:
                raise unknown(
                    f"rule (rule set {self.name!r})", name, [rule.name for rule in self.rules]
                )
            if np.isnan(limit):
                raise FilterError(
                    f"limit of rule {name!r} is NaN; allowed: any number: leave the rule's set "
                    "out, or use an infinite limit, to switch it off"
                )
        rules = (replace(rule, limit=limits.get(rule.name, rule.limit)) for rule in self.rules)
        return replace(self, rules=tuple(rules))

    def judge(self, documents: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return the kept and the dropped rows of a table with columns doc_id and text.

        All columns are preserved; the dropped gain rule, feature, value, limit, failed_rules.
        """
        missing = sorted({"doc_id", "text"} - set(documents.column_names))
        if missing:
            raise FilterError(
                f"documents lack the column {', '.join(missing)} (found: "
                f"{', '.join(documents.column_names) or 'none'}); rename or add it first"
            )
        statistics = features.compute(documents["text"], self.words)
        return split(documents, self.verdicts(statistics))

    def verdicts(self, statistics: pa.Table) -> pa.Table:
        """Return a VERDICT for each row of statistics, stored or just computed; no text needed."""
        values_RN = self._values(statistics)
        failed_RN = np.zeros(values_RN.shape, dtype=np.bool_)
        for row, rule in enumerate(self.rules):
            failed_RN[row] = rule.fails(values_RN[row])
        documents, rules = np.nonzero(failed_RN.T)  # by document, then in the order of rules
        ends = np.searchsorted(documents, np.arange(statistics.num_rows + 1)).astype(np.int32)
        values = values_RN[rules, documents]
        names = pa.array([rule.name for rule in self.rules], pa.string()).take(pa.array(rules))
        sources = pa.array([rule.feature for rule in self.rules], pa.string()).take(pa.array(rules))
        limits = np.array([rule.limit for rule in self.rules], dtype=np.float64)[rules]
        first = pa.array(ends[:-1], mask=ends[:-1] == ends[1:])
        columns = [column.take(first) for column in (names, sources)]
        columns += [pa.array(column).take(first) for column in (values, limits)]
        columns += [
            pa.ListArray.from_arrays(pa.array(ends), pa.array(column))
            for column in (names, values, limits)
        ]
        return pa.table(columns, schema=VERDICT)

    def explain(self, text: str) -> Explanation:
        """Return each rule's statistic, limit and outcome for one text; print it to read it."""
        statistics = features.compute(pa.array([text], pa.large_string()), self.words)
        findings = tuple(
            Finding(rule.name, rule.feature, rule.drop, float(value), rule.limit, bool(failed))
            for rule, value in zip(self.rules, self._values(statistics)[:, 0], strict=True)
            for failed in rule.fails(np.array([value]))
        )
        return Explanation(self.name, findings, statistics.to_pylist()[0])

    def _values(self, statistics: pa.Table) -> npt.NDArray[np.float64]:
        values_RN = np.empty((len(self.rules), statistics.num_rows), dtype=np.float64)
        for row, rule in enumerate(self.rules):
            if rule.feature not in statistics.column_names:
                raise FilterError(
                    f"rule {rule.name!r} needs the statistic {rule.feature!r}, which the table "
                    f"lacks (found: {', '.join(statistics.column_names) or 'none'}); compute it "
                    "with filters.features.compute(texts)"
                )
            values_RN[row] = statistics[rule.feature].to_numpy()
        return values_RN


def split(documents: pa.Table, verdicts: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the kept documents, and the dropped ones with the verdict beside them.

    Row i of `verdicts` (VERDICT) is about row i of `documents`; order is preserved, and every row
    is in exactly one of the two.
    """
    if documents.num_rows != verdicts.num_rows:
        raise FilterError(
            f"{documents.num_rows} documents but {verdicts.num_rows} verdicts; they go row by row: "
            "judge the same table that is split"
        )
    keep = verdicts["rule"].is_null()
    kept = documents.filter(keep)
    dropped, reasons = documents.filter(pc.invert(keep)), verdicts.filter(pc.invert(keep))
    for name in ("rule", "feature", "value", "limit", "failed_rules"):
        dropped = dropped.append_column(VERDICT.field(name), reasons[name])
    return kept, dropped
