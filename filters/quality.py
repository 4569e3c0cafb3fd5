"""A fastText classifier that learns from judged texts what a good document is."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.errors import FilterError
from filters.fasttext_models import LABEL, labels, load, one_line, predict
from filters.kernels.characters import table
from filters.text import TextBatch, chunks, prefix

GOOD, OTHER = "good", "other"
PREFIX_BYTES = 10_000
"""How much of a text is looked at: its first 10,000 UTF-8 bytes."""


@dataclass(frozen=True)
class TrainingReport:
    """What a training was made of, and how well its classifier does on texts it never saw."""

    threshold: float
    """The lowest score that counted as good."""
    trained: int
    held_out: int
    held_out_good: int
    auc: float
    """Probability that a good held-out text gets a higher prediction than another (ROC AUC)."""


@dataclass(frozen=True)
class QualityClassifier:
    """P(good | text) from bags of words and word pairs; `train` and `load` make one."""

    _model: Any = field(repr=False, compare=False)

    @classmethod
    def train(
        cls,
        texts: Sequence[str] | pa.Array | pa.ChunkedArray,
        scores: Sequence[float] | npt.NDArray[np.float64],
        *,
        quantile: float = 0.7,
        held_out: float = 0.2,
        seed: int = 1,
        epochs: int = 25,
    ) -> tuple["QualityClassifier", TrainingReport]:
        """Learn to tell the texts whose score reaches the `quantile` of all scores.

        A quantile and not a fixed score, because a small judge's scores span a narrow range. One
        thread: the same texts, scores and seed give the same classifier, bit for bit. A share
        `held_out` of the texts is kept from training to measure the AUC of the report. Raises
        FilterError where either side of the threshold is missing in one of the two parts.
        """
        lines, values = _lines(texts), np.asarray(scores, dtype=np.float64)
        _check(lines, values, quantile, held_out)
        threshold = float(np.quantile(values, quantile, method="higher"))
        good = values >= threshold
        order = np.random.Generator(np.random.PCG64(seed)).permutation(len(lines))
        unseen, seen = np.split(order, [max(1, round(held_out * len(lines)))])
        for part, rows in (("training", seen), ("held-out", unseen)):
            if good[rows].all() or not good[rows].any():
                raise FilterError(
                    f"all {len(rows)} {part} texts are on one side of score {threshold:g} (quantile"
                    f" {quantile}); needed: good and other texts in both parts: judge more texts, "
                    "move the quantile, or hold out more"
                )
        classifier = cls(_train([lines[row] for row in seen], good[seen], seed, epochs))
        predictions = np.array([classifier._predict(lines[row]) for row in unseen])
        report = TrainingReport(
            threshold=threshold,
            trained=len(seen),
            held_out=len(unseen),
            held_out_good=int(good[unseen].sum()),
            auc=area_under_curve(predictions, good[unseen]),
        )
        return classifier, report

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "QualityClassifier":
        """Load what `save` has written."""
        model = load(path, "QualityClassifier.train(texts, scores)")
        if labels(model) != (GOOD, OTHER):
            raise FilterError(
                f"{path} tells {', '.join(labels(model)[:5])} apart; needed: a model of "
                f"{GOOD} and {OTHER}, as QualityClassifier.save writes it"
            )
        return cls(model)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file, whole or not at all."""
        unfinished = Path(f"{os.fspath(path)}.unfinished")
        self._model.save_model(str(unfinished))
        unfinished.replace(path)

    def predict(self, texts: Sequence[str] | pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
        """Return P(good) of each of N texts, float64[N]; of a blank one 0."""
        return np.array([self._predict(line) for line in _lines(texts)], dtype=np.float64)

    def _predict(self, line: str) -> float:
        return predict(self._model, line, answers=2).get(GOOD, 0.0)


def area_under_curve(predictions: npt.NDArray[np.float64], good: npt.NDArray[np.bool_]) -> float:
    """Return the probability that a good one is predicted above another; ties count half."""
    above = predictions[good][:, None] - predictions[~good][None, :]
    return float(np.mean((np.sign(above) + 1) / 2))


def _lines(texts: Sequence[str] | pa.Array | pa.ChunkedArray) -> list[str]:
    """Return each text as its lower-case words, with spaces between: Chinese has words too."""
    from filters.kernels.words import spaced_words  # numba takes a second to import

    if not isinstance(texts, pa.Array | pa.ChunkedArray):
        texts = pa.array(texts, pa.large_string())
    lines = []
    for batch in map(TextBatch.of, chunks(texts)):
        for index in range(len(batch)):
            start = TextBatch.of_text(prefix(batch, index, PREFIX_BYTES))
            words = spaced_words(start.data, 0, start.offsets[-1], table())
            lines.append(one_line(words.tobytes().decode().lower()))
    return lines


def _train(lines: list[str], good: npt.NDArray[np.bool_], seed: int, epochs: int) -> Any:
    from fasttext import FastText

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "judged.txt"
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for line, is_good in zip(lines, good, strict=True):
                file.write(f"{LABEL}{GOOD if is_good else OTHER} {line}\n")
        try:
            return FastText.train_supervised(
                input=str(path), lr=0.5, dim=32, epoch=epochs, wordNgrams=2, bucket=100_000,
                minCount=1, minn=0, maxn=0, thread=1, seed=seed, verbose=0,
            )  # fmt: skip
        except RuntimeError as error:
            raise FilterError(
                f"fastText could not train on {len(lines)} texts ({error}); check that the "
                "installed package is fasttext-community, and that the texts have words"
            ) from error


def _check(
    lines: list[str], scores: npt.NDArray[np.float64], quantile: float, held_out: float
) -> None:
    if len(lines) != len(scores):
        raise FilterError(f"{len(lines)} texts but {len(scores)} scores; needed: one score a text")
    if len(lines) < 4:
        raise FilterError(f"{len(lines)} judged texts; needed: at least 4, better thousands")
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise FilterError(f"score {row} is {scores[row]}; allowed: finite numbers: judge it again")
    for name, share in (("quantile", quantile), ("held_out", held_out)):
        if not 0 < share < 1:
            raise FilterError(f"{name} is {share}; allowed: between 0 and 1, both excluded")
