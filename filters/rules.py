"""A rule is a limit on a statistic; a rule set judges documents by an ordered table of rules."""

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
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


ROUTES: Final = ("language_script", "route")
"""Columns of a features table that a rule's limit may depend on (filters/features.py)."""


@dataclass(frozen=True)
class Rule:
    """Drop a document whose `feature` is strictly below, or strictly above, its limit."""

    name: str
    feature: str
    drop: Literal["below", "above"]
    limit: float
    """For all documents; with `limits`, for those that have none of their own."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Limits by the value of the column `by`."""
    by: str = "language_script"

    def limits_of(self, statistics: pa.Table) -> npt.NDArray[np.float64]:
        """Return the limit of each row of a features table, [N]."""
        if not self.limits:
            return np.full(statistics.num_rows, self.limit)
        if self.by not in statistics.column_names:
            raise FilterError(
                f"rule {self.name!r} has a limit for each {self.by}, a column that the table lacks "
                f"(found: {', '.join(statistics.column_names) or 'none'}); compute it with "
                "filters.features.compute(texts, words, languages)"
            )
        routes = statistics[self.by].combine_chunks().dictionary_encode()
        known = [self.limits.get(route, self.limit) for route in routes.dictionary.to_pylist()]
        places = routes.indices.fill_null(len(known)).to_numpy()
        limits: npt.NDArray[np.float64] = np.array([*known, self.limit])[places]
        return limits

    def fails(
        self, values: npt.NDArray[np.float64], limits: npt.NDArray[np.float64] | float
    ) -> npt.NDArray[np.bool_]:
        """Return which values drop their document; one that is not a number (NaN) does not."""
        return values < limits if self.drop == "below" else values > limits

    def moved(self, limit: float | Mapping[str, float]) -> "Rule":
        """Return the rule with another limit, or with other limits for some routes."""
        if isinstance(limit, Mapping):
            return replace(self, limits={**self.limits, **limit})
        return replace(self, limit=limit)


@dataclass(frozen=True)
class RuleSet:
    """An ordered table of rules: the first that fails is the reason, every one is recorded."""

    name: str
    rules: tuple[Rule, ...]
    words: str = "unicode"
    language: str | None = None
    """The lang_Script that every document is taken to be in; None: what its column `language`
    says. Read by rules with limits or stop words of a language, and by no others."""

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
        from filters import rule_sets  # its tables are made of the class above

        rules, language = rule_sets.published(name)
        return cls(name, rules, words, language)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> "RuleSet":
        """Return the rule set that a YAML file describes (filters/custom.py)."""
        from filters.custom import read_file

        return read_file(Path(path)).rule_set()

    @classmethod
    def combined(
        cls,
        names: Sequence[str],
        words: str = "unicode",
        limits: Mapping[str, float | Mapping[str, float]] | None = None,
    ) -> "RuleSet":
        """Return several rule sets as one, in the order given, with some limits replaced."""
        return cls.joined([cls.named(name, words) for name in names]).with_limits(limits or {})

    @classmethod
    def joined(cls, sets: Sequence["RuleSet"]) -> "RuleSet":
        """Return rule sets of one word definition, and at most one language, as one."""
        languages = {each.language for each in sets} - {None}
        definitions = {each.words for each in sets}
        for what, found in (("language", languages), ("word definition", definitions)):
            if len(found) > 1:
                raise FilterError(
                    f"rule sets {', '.join(each.name for each in sets)} are for more than one "
                    f"{what} ({', '.join(sorted(map(str, found)))}); judge by each on its own"
                )
        return cls(
            "+".join(each.name for each in sets),
            tuple(rule for each in sets for rule in each.rules),
            next(iter(definitions), "unicode"),
            next(iter(languages), None),
        )

    def with_limits(self, limits: Mapping[str, float | Mapping[str, float]]) -> "RuleSet":
        """Return the same rules with other limits: {rule: limit}, {rule: {route: limit}}.

        A number replaces the limit of a rule, and where a rule has limits of routes (languages),
        that of all other routes. One that is infinite, or the end of what the statistic can be,
        switches the rule off; beyond it a limit is a mistake.
        """
        from filters.ranges import fault, is_off

        by_name = {rule.name: rule for rule in self.rules}
        for name, limit in limits.items():
            if name not in by_name:
                raise unknown(f"rule (rule set {self.name!r})", name, by_name)
            given = list(limit.values()) if isinstance(limit, Mapping) else [limit]
            if any(map(math.isnan, given)):
                raise FilterError(
                    f"limit of rule {name!r} is NaN; allowed: any number: leave the rule's set "
                    "out, or use an infinite limit, to switch it off"
                )
            for rule in (replace(by_name[name], limit=number) for number in given):
                found = "" if is_off(rule) or math.isinf(rule.limit) else fault(rule)
                if found:
                    raise FilterError(f"{found}, or an infinite one to switch it off")
        rules = (
            rule.moved(limits[rule.name]) if rule.name in limits else rule for rule in self.rules
        )
        return replace(self, rules=tuple(rules))

    def judge(self, documents: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return the kept and the dropped rows of a table with columns doc_id and text.

        All columns are preserved; the dropped gain those of VERDICT.
        """
        missing = sorted({"doc_id", "text"} - set(documents.column_names))
        if missing:
            raise FilterError(
                f"documents lack the column {', '.join(missing)} (found: "
                f"{', '.join(documents.column_names) or 'none'}); rename or add it first"
            )
        asked = {rule.feature for rule in self.rules} | {
            rule.by for rule in self.rules if rule.limits
        }
        names = {"characters", *asked.intersection(features.SCHEMA.names)}  # one, to have rows
        return split(documents, self.verdicts(self._measured(documents, names)))

    def statistics(self, documents: pa.Table) -> pa.Table:
        """Return what the rules are about: features.SCHEMA, and language_score where there is one.

        The column `language` (codes of lid.176, or lang_Scripts) is read where it is present. All
        of them, so that other rules can be held against what is stored; `judge` finds its own.
        """
        return self._measured(documents, features.SCHEMA.names)

    def _measured(self, documents: pa.Table, names: Collection[str]) -> pa.Table:
        languages = documents["language"] if "language" in documents.column_names else None
        if self.language is not None:
            languages = pa.array([self.language] * documents.num_rows, pa.string())
        statistics = features.compute(documents["text"], self.words, languages, names)
        if "language_score" in documents.column_names:
            statistics = statistics.append_column("language_score", documents["language_score"])
        return statistics

    def verdicts(self, statistics: pa.Table) -> pa.Table:
        """Return a VERDICT for each row of statistics, stored or just computed; no text needed."""
        values_RN, limits_RN, failed_RN = self._compare(statistics)
        documents, rules = np.nonzero(failed_RN.T)  # by document, then in the order of rules
        ends = np.searchsorted(documents, np.arange(statistics.num_rows + 1)).astype(np.int32)
        values, limits = values_RN[rules, documents], limits_RN[rules, documents]
        names = pa.array([rule.name for rule in self.rules], pa.string()).take(pa.array(rules))
        sources = pa.array([rule.feature for rule in self.rules], pa.string()).take(pa.array(rules))
        first = pa.array(ends[:-1], mask=ends[:-1] == ends[1:])
        columns = [column.take(first) for column in (names, sources)]
        columns += [pa.array(column).take(first) for column in (values, limits)]
        columns += [
            pa.ListArray.from_arrays(pa.array(ends), pa.array(column))
            for column in (names, values, limits)
        ]
        return pa.table(columns, schema=VERDICT)

    def explain(
        self, text: str, language: str | None = None, language_score: float | None = None
    ) -> Explanation:
        """Return each rule's statistic, limit and outcome for one text; print it to read it.

        Rules that depend on the language of a document need to be told (FilterError).
        """
        _check_text(text)
        needs_score = any(rule.feature == "language_score" for rule in self.rules)
        if needs_score and (language is None or language_score is None):
            raise FilterError(
                f"rule set {self.name!r} judges by the language of a document: give it too, "
                'explain(text, language="de", language_score=0.9); '
                "filters.language.LanguageIdentifier.bundled().identify tells both"
            )
        document: dict[str, pa.Array] = {"text": pa.array([text], pa.large_string())}
        if language is not None:
            document["language"] = pa.array([language], pa.string())
        if language_score is not None:
            document["language_score"] = pa.array([language_score], pa.float64())
        statistics = self.statistics(pa.table(document))
        compared = (matrix[:, 0].tolist() for matrix in self._compare(statistics))
        findings = tuple(
            Finding(rule.name, rule.feature, rule.drop, value, limit, failed)
            for rule, value, limit, failed in zip(self.rules, *compared, strict=True)
        )
        return Explanation(self.name, findings, statistics.to_pylist()[0])

    def _compare(
        self, statistics: pa.Table
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return the value, the limit and whether it fails, of each rule and document, [R, N]."""
        shape = (len(self.rules), statistics.num_rows)
        values_RN, limits_RN = np.empty(shape), np.empty(shape)
        failed_RN = np.zeros(shape, dtype=np.bool_)
        for row, rule in enumerate(self.rules):
            limits_RN[row] = rule.limits_of(statistics)
            values_RN[row] = _values(rule, statistics, limits_RN[row])
            failed_RN[row] = rule.fails(values_RN[row], limits_RN[row])
        return values_RN, limits_RN, failed_RN


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise FilterError(f"found {type(text).__name__} to explain; allowed: one text as a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise FilterError(
            f"the text is no valid Unicode: {error.reason} at character {error.start}; decode it "
            'with errors="replace" first'
        ) from error


def _values(
    rule: Rule, statistics: pa.Table, limits: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return what a rule looks at, [N]; a null is an error unless the limit is infinite."""
    told = "compute it with filters.features.compute(texts, words, languages)"
    if rule.feature == "language_score":
        told = "give documents the columns language and language_score (filters.language)"
    if rule.feature not in statistics.column_names:
        raise FilterError(
            f"rule {rule.name!r} needs the statistic {rule.feature!r}, which the table lacks "
            f"(found: {', '.join(statistics.column_names) or 'none'}); {told}"
        )
    column = statistics[rule.feature]
    values: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    if column.null_count:
        unknown_here = column.is_null().to_numpy() & np.isfinite(limits)
        if unknown_here.any():
            raise FilterError(
                f"rule {rule.name!r} needs the statistic {rule.feature!r}, which is null in row "
                f"{int(unknown_here.argmax())} ({int(unknown_here.sum())} in all); {told}"
            )
    return values


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
    for name in VERDICT.names:
        dropped = dropped.append_column(VERDICT.field(name), reasons[name])
    return kept, dropped


def failures(verdicts: pa.Table) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many documents fail each rule, and how many that rule alone; `failed_rules`."""
    failed = verdicts["failed_rules"]
    single = pc.equal(pc.list_value_length(failed), 1).fill_null(False)
    return occurrences(pc.list_flatten(failed)), occurrences(pc.list_flatten(failed.filter(single)))


def occurrences(names: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value stands in a column."""
    counted = pc.value_counts(names)
    return dict(
        zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    )
