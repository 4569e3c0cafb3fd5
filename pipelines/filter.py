"""Keep the documents worth reading: language, then rules over statistics computed once."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines import schemas
from pipelines.documents import Desk, desk_of
from pipelines.shards import ShardRecord, read_table
from pipelines.units import run_units, stage_output, units_of
from pipelines.workspace import StageOutput, Workspace


class FilterConfig(BaseModel):
    """What a document must be to stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rules: tuple[str, ...] = ("gopher_repetition", "gopher")
    """Rule sets in the order that assigns reasons (filters/rule_sets.py)."""
    languages: tuple[str, ...] = ()
    """Allowed ISO 639 codes as fastText's lid.176 writes them; empty: all."""
    min_language_score: float = Field(default=0.65, ge=0, le=1)
    """FineWeb's threshold (arXiv 2406.17557, 3.3)."""
    limits: Mapping[str, float] = {}
    """Limits that replace a rule set's own: {rule: limit}."""
    words: Literal["unicode"] = "unicode"
    """What a word is; part of every threshold."""

    @model_validator(mode="after")
    def _rules_exist(self) -> Self:
        from filters import RuleSet

        RuleSet.combined(self.rules, self.words, self.limits)
        return self


class FilterWorker:
    """Judges one unit: kept documents, dropped documents with their verdicts, the statistics."""

    def __init__(self, desk: Desk, config: FilterConfig) -> None:
        from filters import RuleSet
        from filters.language import LanguageFilter, LanguageIdentifier

        self._desk = desk
        self._words = config.words
        self._language = LanguageFilter(
            LanguageIdentifier.bundled(), config.languages, config.min_language_score
        )
        text_rules = RuleSet.combined(config.rules, config.words, config.limits)
        self._rules = RuleSet(
            f"language+{text_rules.name}",
            (*self._language.rules.rules, *text_rules.rules),
            config.words,
        )

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Read the unit, judge it, write its shard, return the record."""
        documents = read_table(unit["path"])
        kept, dropped, statistics = self._judge(documents)
        return self._desk.publish(unit["shard"], documents, kept, dropped, features=statistics)

    def _judge(self, documents: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Return kept, dropped and the statistics of all; a statistic is computed once."""
        from filters import features
        from filters.rules import split

        language = self._language.features(documents["text"])
        statistics = features.compute(documents["text"], self._words)
        for name in language.column_names:
            statistics = statistics.append_column(name, language[name])
        for name in ("language", "language_score"):
            at = documents.column_names.index(name)
            documents = documents.set_column(at, schemas.DOCUMENT.field(name), language[name])
        kept, dropped = split(documents, self._rules.verdicts(statistics))
        return kept, dropped, statistics.add_column(0, "doc_id", documents["doc_id"])


def run(workspace: Workspace, config: FilterConfig) -> StageOutput:
    """Filter every unit of the slot `documents`; see StageOutput for what comes back."""
    factory = partial(FilterWorker, desk_of(workspace), config)
    records = run_units(workspace, units_of(workspace.input("documents")), factory)
    return stage_output(records, schema=schemas.DOCUMENT.to_string())
