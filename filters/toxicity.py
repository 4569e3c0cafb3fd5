"""How likely a fastText model thinks that a text is toxic, or whatever else its label says."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.errors import unknown
from filters.fasttext_models import labels, load, one_line, predict
from filters.text import TextBatch, chunks, prefix

PREFIX_BYTES = 10_000
"""How much of a text is looked at: its first 10,000 UTF-8 bytes."""


@dataclass(frozen=True)
class LabelScorer:
    """P(label | text) by a model file; `from_file` makes one. Not to be pickled: load anew."""

    label: str
    _model: Any = field(repr=False, compare=False)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], label: str) -> "LabelScorer":
        """Load a model that knows the label (without fastText's mark before it)."""
        model = load(path, "another file that fastText has written")
        if label not in labels(model):
            raise unknown("label", label, labels(model))
        return cls(label, model)

    def score(self, texts: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
        """Return P(label) of each of N texts, float64[N]; of a blank one 0."""
        answers = len(labels(self._model))
        scores = [
            predict(self._model, one_line(prefix(batch, row, PREFIX_BYTES)), answers)
            for batch in map(TextBatch.of, chunks(texts))
            for row in range(len(batch))
        ]
        return np.array([found.get(self.label, 0.0) for found in scores], dtype=np.float64)
