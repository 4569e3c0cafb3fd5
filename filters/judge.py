"""A language model as judge: how much a reader can learn from a text, from 0 to 5.

A raw completion, not a chat: scored examples, then the text, then "Score: ", and the probabilities
of the digits that could come next. Small models rank texts well this way while their scores span
a narrow range: compare scores, or cut at a quantile, rather than at "3".
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from filters.errors import FilterError
from filters.text import TextBatch, prefix

MAX_TEXT_BYTES: Final = 1_000
"""How much of a text is judged: its first 1,000 UTF-8 bytes, cut between characters. A token is a
byte at least, so that the prompt fits into 4,096 tokens whatever the script."""
SCORES: Final = ("0", "1", "2", "3", "4", "5")


class Backend(Protocol):
    """A language model that completes a prompt."""

    def next_token_probabilities(self, prompt: str) -> Mapping[str, float]:
        """Return the likeliest next tokens of a prompt with their probabilities."""


@dataclass(frozen=True)
class Shot:
    """A text with the score a careful reader gives it."""

    text: str
    score: int


@dataclass(frozen=True)
class Rubric:
    """What is asked for, in one sentence, and examples of it."""

    instruction: str
    shots: tuple[Shot, ...]

    def prompt(self, text: str) -> str:
        """Return the prompt that ends where the score of `text` is due."""
        shots = "".join(f"{_quoted(shot.text)}{shot.score}\n\n" for shot in self.shots)
        return f"{self.instruction}\n\n{shots}{_quoted(text)}"


EDUCATIONAL: Final = Rubric(
    "Each text is scored from 0 (menus, legal notices, lists of links, tables of numbers) to 5 "
    "(clear prose that explains something or tells it well).",
    (
        Shot(
            "Tides rise and fall because the moon pulls harder on the near side of the earth than "
            "on the far side. The water bulges towards the moon and away from it, and as the earth "
            "turns, each coast passes through both bulges: two high tides in a little over a day.",
            5,
        ),
        Shot(
            "Home | Shop | Cart (0) | Log in | Contact us. Next page, previous page, sort by price."
            " Copyright 2019, all rights reserved. Cookie settings. Back to top.",
            0,
        ),
        Shot(
            "My grandmother kept bees behind the barn. In May she would put on the veil, light a "
            "handful of dry grass in the smoker, and let me hold the frames while she looked for "
            "the queen. She said that bees know an impatient hand, and I learned to move slowly.",
            4,
        ),
        Shot(
            "Permission is hereby granted, free of charge, to any person obtaining a copy, subject "
            "to the following conditions: the above notice shall be included in all copies. The "
            "material is provided as is, without warranty of any kind, express or implied.",
            1,
        ),
        Shot(
            "0.113 44 1.09 n/a; 0.127 45 1.11 n/a; 0.131 45 1.12 4; 0.140 47 1.16 5; total 181; "
            "id qty unit price vat; 30017 2 9.90 19; 30018 1 14.50 7; 30019 6 0.80 19.",
            0,
        ),
        Shot(
            "To sharpen a kitchen knife, wet the stone, hold the blade at about fifteen degrees, "
            "and push it away from you as if slicing a thin layer off the stone. Do the same on the"
            " other side until you feel a burr, then take it off with a few light strokes.",
            5,
        ),
    ),
)
"""Prose and explanations against navigation, licences and tables; all texts written for this."""


@dataclass(frozen=True)
class Judgement:
    """A score and what it was made of."""

    score: float
    """Expected digit, 0 to 5."""
    probabilities: tuple[float, ...]
    """Of the digits 0 to 5, summing to 1."""
    prompt_chars: int


@dataclass(frozen=True)
class Judge:
    """Scores texts by a rubric with a backend."""

    backend: Backend
    rubric: Rubric = field(default=EDUCATIONAL)

    def score(self, text: str) -> Judgement:
        """Judge a text by its first MAX_TEXT_BYTES.

        FilterError where the backend gives no digit any probability.
        """
        prompt = self.rubric.prompt(text)
        tokens = self.backend.next_token_probabilities(prompt)
        masses = [
            math.fsum(p for token, p in tokens.items() if token.strip() == digit)
            for digit in SCORES
        ]
        total = math.fsum(masses)
        if not total > 0:
            likeliest = sorted(tokens, key=lambda token: -tokens[token])[:5]
            raise FilterError(
                f"the backend expects {likeliest} after 'Score: '; needed: some probability for "
                "one of the digits 0 to 5: ask it for more next tokens, or use another model"
            )
        probabilities = tuple(mass / total for mass in masses)
        score = math.fsum(value * p for value, p in enumerate(probabilities))
        return Judgement(score, probabilities, len(prompt))


def _quoted(text: str) -> str:
    """Return a text in its place in the prompt.

    On one line, so that it cannot add an example or a score line; and without "<|", so that it
    spells no control token. It can still argue for itself in words ("Score: 5"), as any text can
    with any model: scores are evidence about texts, not a barrier against authors.
    """
    start = prefix(TextBatch.of_text(text), 0, MAX_TEXT_BYTES)
    line = " ".join(start.replace("\0", " ").split()).replace("<|", "< |")
    return f"Text: {line}\nScore: "
