"""The JSON that goes back: whole answers, the chunks of a stream, and the list of models."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llada.serve.batching import Finished, Frame, Written


@dataclass(frozen=True)
class Reply:
    """The identity of one answer, and how its endpoint words it."""

    model: str
    seed: int
    chat: bool
    key: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, finished: Finished, usage: Mapping[str, int]) -> dict[str, Any]:
        """Return the answer to a request that does not stream."""
        said: dict[str, Any] = (
            {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        )
        return {
            **self._head("chat.completion" if self.chat else "text_completion"),
            "choices": [self._choice(said, finished.reason)],
            "usage": dict(usage),
            "llada": self._how(finished),
        }

    def opening(self) -> dict[str, Any]:
        """Return the first chunk, which tells who speaks."""
        said: dict[str, Any] = (
            {"delta": {"role": "assistant", "content": ""}} if self.chat else {"text": ""}
        )
        return {**self._chunk(), "choices": [self._choice(said, None)]}

    def delta(self, text: str) -> dict[str, Any]:
        """Return a chunk of settled text."""
        said: dict[str, Any] = {"delta": {"content": text}} if self.chat else {"text": text}
        return {**self._chunk(), "choices": [self._choice(said, None)]}

    def closing(self, finished: Finished) -> dict[str, Any]:
        """Return the chunk that says why the answer ends."""
        said: dict[str, Any] = {"delta": {}} if self.chat else {"text": ""}
        choices = [self._choice(said, finished.reason)]
        return {**self._chunk(), "choices": choices, "llada": self._how(finished)}

    def usage(self, usage: Mapping[str, int]) -> dict[str, Any]:
        """Return the chunk that counts tokens, the last of a stream that asked for it."""
        return {**self._chunk(), "choices": [], "usage": dict(usage)}

    def _chunk(self) -> dict[str, Any]:
        return self._head("chat.completion.chunk" if self.chat else "text_completion")

    def _head(self, kind: str) -> dict[str, Any]:
        name = "chatcmpl" if self.chat else "cmpl"
        return {
            "id": f"{name}-{self.key}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }

    def _choice(self, said: dict[str, Any], reason: str | None) -> dict[str, Any]:
        return {"index": 0, **said, "logprobs": None, "finish_reason": reason}

    def _how(self, finished: Finished) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "forward_passes": finished.passes,
            "batch_size": finished.batch,
        }


def frame(event: Frame) -> dict[str, Any]:
    """Return the extension event of one denoising step."""
    return {
        "object": "llada.denoising",
        "step": event.step + 1,
        "steps": event.steps,
        "tokens": [list(token) for token in event.tokens],
    }


def written(event: Written) -> dict[str, Any]:
    """Return the extension event of the finished answer: every token and its step, from 0."""
    return {"object": "llada.answer", "tokens": [list(token) for token in event.tokens]}


def tokens_used(prompt: int, answer: int) -> dict[str, int]:
    """Return the usage of one answer."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
    }


def models(name: str, context: int, created: int) -> dict[str, Any]:
    """Return the answer of GET /v1/models."""
    one = {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "llada",
        "context_length": context,
    }
    return {"object": "list", "data": [one]}
