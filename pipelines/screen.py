"""Drop documents by what others know of them: block lists, a toxicity model, licence, robots.

Lists and models come in as listings (stages of kind `source`), so what counts for the result is
their content, not where they lie. Each is optional; what is given or configured is applied.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines import schemas, storage
from pipelines.documents import DocumentsWorker, Judged, desk_of
from pipelines.errors import InputError
from pipelines.listed_files import SourceFile
from pipelines.remote.copies import kept_copy
from pipelines.units import run_units, stage_output, units_of
from pipelines.workspace import InputArtifact, StageOutput, Workspace

if TYPE_CHECKING:
    from filters.rules import RuleSet

Slot = Literal["url_lists", "word_lists", "toxicity_model"]

SLOTS: tuple[Slot, ...] = ("url_lists", "word_lists", "toxicity_model")


class ScreenConfig(BaseModel):
    """What is looked up, and the limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    listed_words: int = Field(default=0, ge=0)
    """Most words of the list of its language that a document may say; C4 allows none."""
    default_language: str | None = None
    """Whose word list is for documents without a language; null: they are not looked through."""
    toxicity_label: str = "toxic"
    """The model's label that is limited, without fastText's mark."""
    toxicity: float = Field(default=0.5, ge=0, le=1)
    """The highest probability of the label that is kept."""
    licences_allowed: tuple[str, ...] = ()
    """Patterns as of a shell, in any case: "cc-by-*". None: all that are not denied."""
    licences_denied: tuple[str, ...] = ()
    unknown_licence: Literal["keep", "drop"] = "keep"
    """What happens to documents that name no licence, where licences are looked at."""
    robots: tuple[str, ...] = ()
    """Directives of X-Robots-Tag and meta robots that forbid a document: noai, noindex."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.unknown_licence == "drop" and not self.reads_licences:
            raise ValueError(
                "unknown_licence is 'drop', but no licence is named; set licences_allowed or "
                "licences_denied, or remove it"
            )
        odd = [name for name in self.robots if name != name.strip().lower() or not name]
        if odd:
            raise ValueError(f"robots: found {odd[0]!r}; write directives in lower case: noai")
        return self

    @property
    def reads_licences(self) -> bool:
        """Whether the licence of a document matters."""
        return bool(self.licences_allowed or self.licences_denied)


class Screen:
    """Looks documents up: kept ones, dropped ones with their verdicts, the features."""

    def __init__(self, config: ScreenConfig, files: Mapping[Slot, Mapping[str, Path]]) -> None:
        from filters.toxicity import LabelScorer
        from filters.url_lists import UrlList
        from filters.word_lists import WordLists

        self._config = config
        self._urls = UrlList.read(files["url_lists"]) if "url_lists" in files else None
        self._words = WordLists.read(files["word_lists"]) if "word_lists" in files else None
        self._toxicity = (
            LabelScorer.from_file(
                next(iter(files["toxicity_model"].values())), config.toxicity_label
            )
            if "toxicity_model" in files
            else None
        )
        self._rules = rules_of(config, frozenset(files))

    def __call__(self, documents: pa.Table) -> Judged:
        """Return kept, dropped and the features of all."""
        from filters.rules import split

        features = self._features(documents)
        kept, dropped = split(documents, self._rules.verdicts(features))
        features = features.add_column(0, "doc_id", documents["doc_id"])
        return Judged(kept, dropped, features=features)

    def _features(self, documents: pa.Table) -> pa.Table:
        """Return a column a feature of the rules, and in which list a URL stands."""
        columns: dict[str, Any] = {}
        if self._urls is not None:
            found = self._urls.features(documents["url"])
            columns |= {name: found[name] for name in found.column_names}
        if self._words is not None:
            default = self._config.default_language
            languages = [language or default for language in documents["language"].to_pylist()]
            columns["listed_words"] = self._words.count(documents["text"], languages)
        if self._toxicity is not None:
            columns["toxicity"] = self._toxicity.score(documents["text"])
        return pa.table({**columns, **_permissions(documents, self._config)})


def rules_of(config: ScreenConfig, given: frozenset[Slot]) -> "RuleSet":
    """Return the rules of what is given and configured, in the order that assigns reasons."""
    from filters.rules import Rule, RuleSet

    rules = {
        "url_lists": (
            Rule("url_domain_blocked", "url_domain_listed", "above", 0),
            Rule("url_blocked", "url_listed", "above", 0),
        ),
        "word_lists": (Rule("listed_words", "listed_words", "above", config.listed_words),),
        "toxicity_model": (Rule("toxicity", "toxicity", "above", config.toxicity),),
    }
    found = [rule for slot in SLOTS if slot in given for rule in rules[slot]]
    if config.reads_licences:
        found.append(Rule("licence_not_allowed", "licence_allowed", "below", 1))
    if config.robots:
        found.append(Rule("robots_directive", "robots_directives", "above", 0))
    return RuleSet("screen", tuple(found))


def _permissions(documents: pa.Table, config: ScreenConfig) -> dict[str, Any]:
    from filters.permissions import licence_allowed, licences, robots

    columns: dict[str, Any] = {}
    if config.reads_licences:
        unknown = config.unknown_licence == "keep"
        found = [
            licence_allowed(licence, config.licences_allowed, config.licences_denied)
            for licence in licences(documents)
        ]
        columns["licence_allowed"] = np.array(
            [unknown if allowed is None else allowed for allowed in found], dtype=np.int64
        )
    if config.robots:
        wanted = set(config.robots)
        columns["robots_directives"] = np.array(
            [len(directives & wanted) for directives in robots(documents)], dtype=np.int64
        )
    return columns


def run(workspace: Workspace, config: ScreenConfig) -> StageOutput:
    """Screen every unit of the slot `documents`; see StageOutput for what comes back."""
    files = {slot: _files(workspace.input(slot)) for slot in SLOTS if slot in workspace.inputs}
    if not rules_of(config, frozenset(files)).rules:
        raise InputError(
            f"screen: nothing to look up; fill a slot ({', '.join(SLOTS)}) with a stage of kind "
            "source, or set licences_allowed, licences_denied or robots"
        )
    if len(files.get("toxicity_model", {"": None})) != 1:
        found = ", ".join(files["toxicity_model"])
        raise InputError(f"screen: toxicity_model takes one file, found {found}; list only that")
    factory = partial(DocumentsWorker, desk_of(workspace), partial(Screen, config, files))
    records = run_units(workspace, units_of(workspace.input("documents")), factory)
    return stage_output(records, schema=schemas.DOCUMENT.to_string())


def _files(listing: InputArtifact) -> Mapping[str, Path]:
    """Return the files of a listing by name; raises InputError where one is not what was listed."""
    files: dict[str, Path] = {}
    for table in listing.tables():
        for row in table.to_pylist():
            file = SourceFile(**row)
            path = kept_copy(file)
            if not (file.is_remote or _is_as_listed(path, file)):
                raise InputError(
                    f"screen: {path} is missing or has changed since {listing.name} listed it; "
                    "run again, which lists it anew"
                )
            files[row["name"]] = path
    return files


def _is_as_listed(path: Path, file: SourceFile) -> bool:
    return path.is_file() and storage.hash_file(path) == file.xxh3_128
