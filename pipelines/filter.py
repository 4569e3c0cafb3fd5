"""Keep the documents worth reading: language, then rules over statistics computed once."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, model_validator

from filters.custom import CustomRule
from pipelines import schemas
from pipelines.documents import Desk, DocumentsWorker, Judged, desk_of
from pipelines.shards import read_table
from pipelines.units import run_units, stage_output, units_of
from pipelines.workspace import InputArtifact, StageOutput, Workspace

if TYPE_CHECKING:
    from filters import RuleSet
    from filters.language import LanguageFilter


FAILURES = "failures"
"""In a manifest's info: {rule: {fails, alone}}, documents that fail a rule, and no other one."""
_FAILS, _ALONE = "fails/", "alone/"


class FilterConfig(BaseModel):
    """What a document must be to stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rules: tuple[str, ...] = ("gopher_repetition", "gopher")
    """Rule sets in the order that assigns reasons (filters/rule_sets.py)."""
    custom: tuple[CustomRule, ...] = ()
    """Rules of one's own, after those (filters/custom.py)."""
    languages: tuple[str, ...] = ()
    """Allowed ISO 639 codes as fastText's lid.176 writes them; empty: all."""
    min_language_score: float = Field(default=0.65, ge=0, le=1)
    """FineWeb's threshold (arXiv 2406.17557, 3.3)."""
    limits: Mapping[str, float | Mapping[str, float]] = {}
    """Limits that replace a rule set's own: {rule: limit}, or {rule: {lang_Script: limit}}."""
    words: Literal["unicode", "spacy"] = "unicode"
    """What a word is; part of every threshold."""
    signatures: bool = False
    """Keep each document's exact hash and MinHash signature (FineWeb's family) beside its
    statistics: a dedup stage of that family behind this one takes them from there."""

    @model_validator(mode="after")
    def _rules_and_languages_exist(self) -> Self:
        from filters.lang_scripts import check_language

        for language in self.languages:
            check_language(language)
        self.text_rules()
        return self

    def text_rules(self) -> "RuleSet":
        """Return the rules on a text's statistics; those on its language come before them."""
        from filters import RuleSet

        published = RuleSet.combined(self.rules, self.words)
        own = tuple(rule.rule() for rule in self.custom)
        together = replace(published, rules=(*published.rules, *own))
        return together.with_limits(self.limits)


def rules_of(config: FilterConfig) -> "RuleSet":
    """Return all rules of a filter stage: those on the language, then those on the text."""
    text_rules = config.text_rules()
    return replace(text_rules, rules=(*_language(config).rules.rules, *text_rules.rules))


def _language(config: FilterConfig) -> "LanguageFilter":
    from filters.language import LanguageFilter, LanguageIdentifier

    identifier = LanguageIdentifier.bundled()
    return LanguageFilter(identifier, config.languages, config.min_language_score)


def has_same_statistics(earlier: FilterConfig, config: FilterConfig) -> bool:
    """Whether both measure the same of a document, whatever limits they hold against it."""

    def measured(one: FilterConfig) -> tuple[object, ...]:
        return one.words, one.signatures, one.languages, one.text_rules().language

    return measured(earlier) == measured(config)


class Judge:
    """Judges tables of documents as a filter config says; built once, called often."""

    def __init__(self, config: FilterConfig) -> None:
        self._language = _language(config)
        self._rules = rules_of(config)
        self._signatures = config.signatures

    def __call__(self, documents: pa.Table) -> Judged:
        """Return kept, dropped and, as features, the statistics of all; each is computed once."""
        language = self._language.features(documents["text"])
        documents = _told(documents, language)
        statistics = self._rules.statistics(documents)
        for name in ("language", "language_allowed"):
            statistics = statistics.append_column(name, language[name])
        if self._signatures:
            for name, column in _signatures(documents["text"]).items():
                statistics = statistics.append_column(name, column)
        statistics = statistics.add_column(0, "doc_id", documents["doc_id"])
        return _by(self._rules, documents, statistics)


def _by(rules: "RuleSet", documents: pa.Table, statistics: pa.Table) -> Judged:
    """Judge by statistics that are known, row by row; no text is read."""
    from filters.rules import failures, split

    kept, dropped = split(_told(documents, statistics), rules.verdicts(statistics))
    fails, alone = failures(dropped)
    counted = {
        **{f"{_FAILS}{rule}": count for rule, count in fails.items()},
        **{f"{_ALONE}{rule}": count for rule, count in alone.items()},
    }
    return Judged(kept, dropped, features=statistics, metrics=counted)


def _told(documents: pa.Table, language: pa.Table) -> pa.Table:
    """Return documents with the language that was found, in the columns they have for it."""
    for name in ("language", "language_score"):
        at = documents.column_names.index(name)
        documents = documents.set_column(at, schemas.DOCUMENT.field(name), language[name])
    return documents


class FilterWorker(DocumentsWorker):
    """Judges one unit by its statistics where they are known; computes them where they are not."""

    def __init__(
        self, desk: Desk, config: FilterConfig, known: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(desk, partial(Judge, config))
        self._rules = rules_of(config)
        self._known = known or {}

    def judged(
        self, shard: str, documents: pa.Table, judge: Callable[[pa.Table], Judged]
    ) -> Judged:
        """Return what becomes of the documents of a shard."""
        statistics = self._measured(shard, documents)
        if statistics is None:
            return super().judged(shard, documents, judge)
        judged = _by(self._rules, documents, statistics)
        reused = {"statistics_reused": documents.num_rows}
        return judged._replace(metrics={**judged.metrics, **reused})

    def _measured(self, shard: str, documents: pa.Table) -> pa.Table | None:
        """Return what is known of exactly these documents, None where that is not all of them."""
        if shard not in self._known:
            return None
        statistics = read_table(self._known[shard])
        return statistics if statistics["doc_id"].equals(documents["doc_id"]) else None


def _signatures(texts: pa.ChunkedArray) -> Mapping[str, pa.Array]:
    from filters.dedup import MinHash, signature_columns

    table = signature_columns(texts, MinHash())
    found = {name: table[name] for name in table.column_names}
    return {**found, "text_bytes": pc.binary_length(texts).cast(pa.int64())}


def _known(earlier: InputArtifact | None) -> Mapping[str, str]:
    """Return where the statistics of each shard lie, as an earlier artifact has them."""
    if earlier is None:
        return {}
    paths = zip(earlier.entries("features"), earlier.paths("features"), strict=True)
    return {entry.shard: str(path) for entry, path in paths}


def run(workspace: Workspace, config: FilterConfig) -> StageOutput:
    """Filter every unit of the slot `documents`; see StageOutput for what comes back."""
    factory = partial(FilterWorker, desk_of(workspace), config, _known(workspace.earlier))
    records = run_units(workspace, units_of(workspace.input("documents")), factory)
    info: dict[str, object] = {}
    if config.signatures:
        from filters.dedup import MinHash

        info["minhash"] = dict(MinHash().identity())
    output = stage_output(records, schema=schemas.DOCUMENT.to_string(), info=info)
    return _with_failures(output)


def _with_failures(output: StageOutput) -> StageOutput:
    """Tell of the rules in `info`: two figures of each of dozens are no metrics of a run."""
    failures: dict[str, dict[str, int]] = {}
    metrics = {}
    for name, value in output.metrics.items():
        kind, slash, rule = name.partition("/")
        if slash:
            failures.setdefault(rule, {"fails": 0, "alone": 0})[kind] = int(value)
        else:
            metrics[name] = value
    return replace(
        output, metrics=metrics, info={**output.info, FAILURES: dict(sorted(failures.items()))}
    )
