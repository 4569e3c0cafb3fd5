"""The part of an answer that can no longer change, as text: what may be sent to a reader.

A diffusion model commits tokens out of order. What stands before the first mask is settled; a half
character or the beginning of a stop string at its end waits for the tokens after it.
"""

from collections.abc import Sequence
from typing import Literal

from llada.tokenizer import Tokenizer

Reason = Literal["stop", "length"]


class SettledAnswer:
    """One answer as it grows; `reason` says why it ended, None while it may go on.

    What it reports does not depend on how many tokens settle at once.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        ends: Sequence[int],
        limit: int,
        stop: Sequence[str] = (),
    ) -> None:
        """Start empty; `limit` is in tokens, a `stop` string ends the answer without it."""
        self.text = ""
        self.tokens = 0
        self.reason: Reason | None = None
        self._tokenizer = tokenizer
        self._ends = frozenset(ends)
        self._limit = limit
        self._stop = tuple(stop)

    def settle(self, ids: Sequence[int]) -> str:
        """Take the settled ids of the answer, from its first; return the text that is new."""
        if self.reason is not None:
            return ""
        ids = ids[: self._limit]
        end = next((at for at, token in enumerate(ids) if token in self._ends), None)
        kept = ids if end is None else ids[:end]
        raw = self._tokenizer.decode(kept)
        cut = self._first_stop(raw)
        if cut is not None:
            raw, self.reason = raw[:cut], "stop"
        elif end is not None:
            self.reason = "stop"
        elif len(ids) == self._limit:
            self.reason = "length"
        self.tokens = len(kept)
        seen = raw if self.reason is not None else self._certain(raw)
        new = seen[len(self.text) :]
        self.text += new
        return new

    def _first_stop(self, text: str) -> int | None:
        """Return where the stop string begins that is complete first."""
        found = [(at + len(word), at) for word in self._stop if (at := text.find(word)) >= 0]
        return min(found)[1] if found else None

    def _certain(self, text: str) -> str:
        """Return the text without what the next token could still change."""
        text = text.rstrip("\ufffd")
        longest = max((len(word) for word in self._stop), default=1) - 1
        for size in range(min(longest, len(text)), 0, -1):
            if any(word.startswith(text[-size:]) for word in self._stop):
                return text[:-size]
        return text
