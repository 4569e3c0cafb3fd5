"""Ask a model once, for a text or for how likely texts are, and say what came of it."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from llada.chat import Message, render
from llada.course import Course, course_of
from llada.errors import LladaError
from llada.gaps import with_gaps
from llada.pieces import pieces
from llada.pretrained import Pretrained
from llada.sampling import Trace, generate, infill
from llada.scoring import Question, ScoringConfig, score
from llada.settled import SettledAnswer
from workflows.plain_text import plain
from workflows.sampling import Denoising

Form = Literal["text", "chat", "infill"]


@dataclass(frozen=True)
class Asked:
    """What came out: the answer, or the whole text whose gaps were filled."""

    text: str
    reason: str  # stop: the model ended it; length: it fills its tokens
    tokens: int
    prompt_tokens: int
    seed: int
    seconds: float
    course: Course

    def as_json(self) -> dict[str, Any]:
        """Return what a machine reads."""
        return {
            "text": self.text,
            "finish_reason": self.reason,
            "tokens": self.tokens,
            "prompt_tokens": self.prompt_tokens,
            "steps": self.course.steps,
            "forward_passes": self.course.passes,
            "seconds": round(self.seconds, 3),
            "seed": self.seed,
            "model": self.course.model,
        }


def ask(
    pretrained: Pretrained, prompt: str, denoising: Denoising, *, form: Form, gap: int, seed: int
) -> Asked:
    """Sample once.

    Raises:
        UsageError: the settings do not fit each other.
        LladaError: prompt and answer do not fit into the context, or there is no gap.
    """
    tokenizer = pretrained.tokenizer
    if form == "chat":
        dialogue = [Message(role="user", content=prompt)]
        ids = render(dialogue, tokenizer, add_generation_prompt=True)
    elif form == "infill":
        ids = with_gaps(prompt, tokenizer, default=gap)
    else:
        ids = tokenizer.encode(prompt)
    filling = form == "infill"
    config = denoising.config_of_gaps(pretrained, ids) if filling else denoising.config(pretrained)
    _check_length(pretrained, len(ids), 0 if filling else config.gen_length)
    trace, rng = Trace(), torch.Generator().manual_seed(seed)
    started = time.perf_counter()
    ids_BT = torch.tensor([ids], device=pretrained.model.device)
    sample = infill if filling else generate
    done = sample(pretrained.model, ids_BT, config, rng=rng, on_step=trace)
    seconds = time.perf_counter() - started
    whole = done.ids_BT[0].tolist()
    course = course_of(pretrained, whole, trace, _told(denoising, config.gen_length))
    if filling:
        gaps = ids.count(tokenizer.special.mask)
        text = "".join(pieces(tokenizer, whole))
        return Asked(text, "length", gaps, len(ids) - gaps, seed, seconds, course)
    answer = SettledAnswer(tokenizer, ends=pretrained.ends, limit=config.gen_length)
    answer.settle(whole[len(ids) :])
    reason = answer.reason or "length"
    return Asked(answer.text, reason, answer.tokens, len(ids), seed, seconds, course)


@dataclass(frozen=True)
class Judged:
    """How likely one answer is: log p in nats, a bound from below, with its standard error."""

    answer: str
    tokens: int
    value: float
    stderr: float
    behind: float
    """By how much the likeliest answer is ahead, with the error of that difference: answers share
    their noise, so it is below what the two errors suggest."""
    behind_stderr: float

    @property
    def per_token(self) -> float:
        """The value spread over the tokens: what compares answers of different lengths."""
        return self.value / self.tokens

    def as_json(self) -> dict[str, Any]:
        """Return what a machine reads; an error that is not known is null."""
        return {
            "answer": self.answer,
            "tokens": self.tokens,
            "log_likelihood": self.value,
            "stderr": None if math.isnan(self.stderr) else self.stderr,
            "per_token": self.per_token,
            "behind": self.behind,
            "behind_stderr": None if math.isnan(self.behind_stderr) else self.behind_stderr,
        }


def judge(
    pretrained: Pretrained,
    prompt: str,
    answers: Sequence[str],
    *,
    chat: bool,
    samples: int,
    cfg: float,
    seed: int,
) -> list[Judged]:
    """Return the answers, the likeliest first.

    Prompt and answer are encoded apart, so that no token straddles the border between them. Without
    a chat, spaces at the end of the prompt are read as the beginning of each answer, where words
    have them in the text that models learn from (as common harnesses do).
    """
    tokenizer = pretrained.tokenizer
    spaces = ""
    if chat:
        dialogue = [Message(role="user", content=prompt)]
        before = render(dialogue, tokenizer, add_generation_prompt=True)
    else:
        told = prompt.rstrip(" ")
        spaces = prompt[len(told) :]
        before = tokenizer.encode(told)
    encoded = [tokenizer.encode(spaces + answer) for answer in answers]
    _check_length(pretrained, len(before), max(map(len, encoded)))
    [scores] = score(
        pretrained.model,
        [Question.of(before, encoded)],
        ScoringConfig(samples=samples, cfg_scale=cfg),
        mask_id=tokenizer.special.mask,
        rng=torch.Generator().manual_seed(seed),
    )
    judged = [
        Judged(answer, len(ids), *found, lead.value, lead.stderr)
        for answer, ids, found, lead in zip(
            answers, encoded, scores.answers, scores.leads, strict=True
        )
    ]
    return sorted(judged, key=lambda one: one.value, reverse=True)


def ranking(judged: Sequence[Judged]) -> str:
    """Return a table of the answers, and which would lead by the value of a token."""
    lines = [f"{'log p':>10}  {'error':<8}{'behind':>8}  {'error':<8}{'a token':>8}  answer"]
    for one in judged:
        first = one is judged[0]
        behind = "" if first else f"{one.behind:.3f}"
        doubt = "" if first else _error(one.behind_stderr)
        lines.append(
            f"{one.value:>10.3f}  {_error(one.stderr):<8}{behind:>8}  {doubt:<8}"
            f"{one.per_token:>8.3f}  {_quoted(one.answer)}"
        )
    leader = max(judged, key=lambda one: one.per_token)
    if leader is not judged[0]:
        lines.append(f"by the token, {_quoted(leader.answer)} leads")
    return "\n".join(lines)


def _error(value: float) -> str:
    """Return a standard error in words; an answer whose masks were all tried has none."""
    if math.isnan(value):
        return "unknown"
    return f"± {value:.3f}" if value else "exact"


def _quoted(text: str) -> str:
    return '"' + plain(text).replace("\n", "\\n") + '"'


def _check_length(pretrained: Pretrained, prompt: int, answer: int) -> None:
    if prompt + answer > pretrained.context:
        raise LladaError(
            f"a prompt of {prompt} tokens and an answer of {answer} are {prompt + answer}; the "
            f"model reads {pretrained.context} at most: shorten one of them"
        )


def _told(denoising: Denoising, length: int) -> str:
    parts = [f"length {length}", f"temperature {denoising.temperature:g}", denoising.remasking]
    if denoising.cfg:
        parts.append(f"guidance {denoising.cfg:g}")
    return ", ".join(parts)
