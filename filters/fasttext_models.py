"""What two modules need of fastText: a model loaded quietly, a text as one line, an answer."""

import os
from pathlib import Path
from typing import Any

from filters.errors import FilterError

LABEL = "__label__"
"""What marks a word as a label in fastText's files and answers."""


def load(path: str | os.PathLike[str], otherwise: str) -> Any:
    """Load a fastText model; `otherwise` is what else a person could use."""
    from fasttext import FastText  # imported here: reading a document does not need it

    if not Path(path).is_file():
        raise FilterError(
            f"no fastText model at {path}; give the path of a file that fastText has written, or "
            f"use {otherwise}"
        )
    FastText.eprint = _quiet  # load_model prints a warning that there is no other way to silence
    try:
        return FastText.load_model(str(path))
    except ValueError as error:
        raise FilterError(
            f"{path} is not a fastText model ({error}); download or train it again, or use "
            f"{otherwise}"
        ) from error


def labels(model: Any) -> tuple[str, ...]:
    """Return the sorted labels of a model, without their mark."""
    return tuple(sorted(label.removeprefix(LABEL) for label in model.get_labels()))


def one_line(text: str) -> str:
    """Return a text as words on one line, none of which fastText takes for a label or an end."""
    line = " ".join(text.replace("\0", " ").split())  # a third of the time of a pattern
    return line.replace(LABEL, "label").replace("</s>", "< /s>")


def predict(model: Any, line: str, answers: int = 1) -> dict[str, float]:
    """Return the likeliest labels and their probabilities, best first; none for an empty line."""
    if not line:
        return {}
    found = model.f.predict(line + "\n", answers, 0.0, "strict")
    return {label.removeprefix(LABEL): min(float(p), 1.0) for p, label in found}


def _quiet(*_: object) -> None:
    """Print nothing."""
