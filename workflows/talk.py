"""A dialogue in the terminal: what was said, the answer as it settles, and the last denoising.

Everything a model says is made safe before it is printed; without a terminal no code is printed.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import torch

from llada.chat import Message, render
from llada.course import Course, Token, course_of
from llada.pretrained import Pretrained
from llada.sampling import SamplingConfig, Step, Trace, generate
from llada.settled import SettledAnswer
from workflows.errors import UsageError
from workflows.plain_text import plain
from workflows.sampling import Denoising

_MASK = "░"
_FRAMES = 8
"""Stages of a denoising that are printed where no screen can be drawn over."""
_FRAME_SECONDS = 0.08


class Talk:
    """One dialogue with one model."""

    def __init__(
        self, pretrained: Pretrained, denoising: Denoising, *, seed: int, out: TextIO
    ) -> None:
        """Begin with nothing said; UsageError where the settings do not fit each other."""
        denoising.config(pretrained)
        self.messages: list[Message] = []
        self.denoising = denoising
        self._pretrained = pretrained
        self._seed = seed
        self._out = out
        self._course: Course | None = None

    def ask(self, question: str) -> None:
        """Say something, and print the answer while it settles."""
        self.messages.append(Message(role="user", content=question))
        self._answer()

    def retry(self) -> None:
        """Ask the last question again; at a temperature above 0 with other random numbers."""
        if self.messages and self.messages[-1]["role"] == "assistant":
            self.messages.pop()
        if not self.messages:
            raise UsageError("nothing was asked yet: write a question first")
        self._seed += 1
        self._answer()

    def change(self, **setting: float | None) -> None:
        """Change settings; UsageError, and no change, where they do not fit each other."""
        changed = replace(self.denoising, **setting)  # type: ignore[arg-type]
        changed.config(self._pretrained)
        self.denoising = changed

    def reset(self) -> None:
        """Forget what was said."""
        self.messages.clear()
        self._course = None

    def save(self, path: Path) -> None:
        """Write the dialogue as one line of the form that fine-tuning reads."""
        if path.exists():
            raise UsageError(f"{path} is there already; name a new file")
        line = json.dumps({"messages": self.messages}, ensure_ascii=False)
        try:
            path.write_text(line + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    def show(self) -> None:
        """Play the last denoising: on a terminal as it went, else in a few stages."""
        if self._course is None:
            raise UsageError("no answer to show yet: ask something first")
        tokens = [token for token in self._course.tokens if token.step >= 0]
        total = self._course.steps
        if self._out.isatty():
            self._play([token for token in tokens if not token.end], total)
            return
        stages = sorted({round(at * total / _FRAMES) for at in range(_FRAMES + 1)})
        for done in stages:
            text = "".join(
                (token.text if token.step < done else _MASK) for token in tokens if not token.end
            )
            self._print(f"step {done:>3} of {total}: {plain(text)}\n")

    def _play(self, tokens: list[Token], total: int) -> None:
        """Draw on the terminal's other screen, which leaves what was printed as it was."""
        self._print("\x1b[?1049h")
        try:
            for done in range(total + 1):
                parts = [self._drawn(token, done) for token in tokens]
                head = f"step {done} of {total}  (Ctrl-C ends)\n\n"
                self._print(f"\x1b[H\x1b[2J{head}{''.join(parts)}\n")
                time.sleep(_FRAME_SECONDS)
            time.sleep(10 * _FRAME_SECONDS)
        finally:
            self._print("\x1b[?1049l")

    @staticmethod
    def _drawn(token: Token, done: int) -> str:
        if token.step >= done:
            return _MASK
        text = plain(token.text)
        return f"\x1b[7m{text}\x1b[27m" if token.step == done - 1 else text

    def _answer(self) -> None:
        """Sample the next turn; Ctrl-C keeps what has settled, or forgets the question."""
        config = self.denoising.config(self._pretrained)
        prompt = self._fitting(config)
        answer = SettledAnswer(
            self._pretrained.tokenizer, ends=self._pretrained.ends, limit=config.gen_length
        )
        trace = Trace()
        stopped = False
        try:
            self._sample(prompt, config, answer, trace)
        except KeyboardInterrupt:
            stopped = True
        if stopped:
            self._print(" (stopped)" if answer.text else "(stopped)")
        self._print("\n")
        if stopped and not answer.text:
            self.messages.pop()
        else:
            self.messages.append(Message(role="assistant", content=answer.text))

    def _sample(
        self, prompt: list[int], config: SamplingConfig, answer: SettledAnswer, trace: Trace
    ) -> None:
        mask, width = self._pretrained.tokenizer.special.mask, len(prompt)

        def watch(step: Step) -> None:
            trace(step)
            ids = step.ids_BT[0, width:].tolist()
            settled = ids.index(mask) if mask in ids else len(ids)
            self._print(plain(answer.settle(ids[:settled])))

        rng = torch.Generator().manual_seed(self._seed)
        device = self._pretrained.model.device
        ids_BT = torch.tensor([prompt], device=device)
        done = generate(self._pretrained.model, ids_BT, config, rng=rng, on_step=watch)
        ids = done.ids_BT[0].tolist()
        self._print(plain(answer.settle(ids[width:])))
        if not answer.text:
            self._print("(an empty answer)")
        self._course = course_of(self._pretrained, ids, trace, "")

    def _fitting(self, config: SamplingConfig) -> list[int]:
        """Return the prompt, leaving out the oldest turns where not all fit."""
        room = self._pretrained.context - config.gen_length
        for dropped in range(0, len(self.messages), 2):
            prompt = render(
                self.messages[dropped:], self._pretrained.tokenizer, add_generation_prompt=True
            )
            if len(prompt) <= room:
                break
        else:
            self.messages.pop()
            raise UsageError(
                f"the question has {len(prompt)} tokens with its frame, and {max(room, 0)} are "
                f"left beside an answer of {config.gen_length}: shorten it, or lower /length"
            )
        if dropped:
            del self.messages[:dropped]
            self._print(f"({dropped} oldest turns left out: the context is full)\n")
        return prompt

    def _print(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def converse(talk: Talk, lines: Callable[[], str | None], say: Callable[[str], None]) -> None:
    """Answer lines until there are no more, or /quit; an error is said, and the talk goes on."""
    while (line := lines()) is not None:
        text = line.strip()
        if not text:
            continue
        name, _, argument = text.partition(" ")
        if name == "/quit":
            return
        try:
            if not text.startswith("/"):
                talk.ask(text)
            elif name in COMMANDS:
                COMMANDS[name][1](talk, argument.strip(), say)
            else:
                say(f"no command {plain(name)}; there are {', '.join(COMMANDS)}, /quit")
        except UsageError as error:
            say(str(error))
        except KeyboardInterrupt:
            say("(stopped)")


Command = Callable[[Talk, str, Callable[[str], None]], None]


def _number(setting: str, kind: type[int] | type[float]) -> Command:
    def run(talk: Talk, argument: str, say: Callable[[str], None]) -> None:
        if argument:
            try:
                value = kind(argument)
            except ValueError:
                raise UsageError(f"/{setting} {plain(argument)}: write a number") from None
            if not 0 <= value < float("inf"):
                raise UsageError(f"/{setting} {argument}: write a number of 0 or more")
            talk.change(**{setting: value or None if setting == "steps" else value})
        found = getattr(talk.denoising, setting)
        say(f"{setting}: {'one a token' if found is None else found}")

    return run


def _save(talk: Talk, argument: str, say: Callable[[str], None]) -> None:
    if not argument:
        raise UsageError("/save needs a file: /save talk.jsonl")
    talk.save(Path(argument))
    say(f"{argument}: {len(talk.messages)} turns")


def _help(_talk: Talk, _argument: str, say: Callable[[str], None]) -> None:
    for name, (told, _) in COMMANDS.items():
        say(f"{name:<13} {told}")
    say(f"{'/quit':<13} end (so does the end of the input)")


COMMANDS: dict[str, tuple[str, Command]] = {
    "/retry": ("ask the last question again", lambda talk, _argument, _say: talk.retry()),
    "/show": ("play the last denoising", lambda talk, _argument, _say: talk.show()),
    "/steps": ("N: denoising steps of an answer", _number("steps", int)),
    "/length": ("N: tokens of an answer", _number("length", int)),
    "/temperature": ("X: 0 takes the likeliest token", _number("temperature", float)),
    "/reset": ("forget what was said", lambda talk, _argument, _say: talk.reset()),
    "/save": ("FILE: write the dialogue as a line of JSON", _save),
    "/help": ("what there is", _help),
}
"""name -> what it does in words, and in code."""
