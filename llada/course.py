"""The course of one denoising, token by token: what pages and terminals play."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from llada.pieces import pieces
from llada.pretrained import Pretrained
from llada.sampling import Trace


class Token(NamedTuple):
    """One token of the finished text: `step` is the one that fixed it (from 0), -1 if it stood."""

    text: str
    step: int
    confidence: float
    end: bool  # an end of text or of turn: what follows it means nothing


@dataclass(frozen=True)
class Course:
    """A text from masks to its end."""

    model: str
    tokens: Sequence[Token]
    steps: int
    passes: int
    settings: str


def course_of(pretrained: Pretrained, ids: Sequence[int], trace: Trace, settings: str) -> Course:
    """Return the course of the first row of a generation; `ids` as they were in the end."""
    step_T = trace.step_BT[0].tolist()
    confidence_T = trace.confidence_BT[0].tolist()
    last = trace.steps[-1]
    tokens = [
        Token(text, step, confidence, token in pretrained.ends)
        for text, step, confidence, token in zip(
            pieces(pretrained.tokenizer, ids), step_T, confidence_T, ids, strict=True
        )
    ]
    return Course(pretrained.name, tokens, last.step + 1, last.forward_passes, settings)
