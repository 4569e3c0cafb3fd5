"""A dialogue in the terminal: what is printed, what is remembered, and what can stop it."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from llada.chat import render
from llada.pretrained import Pretrained
from llada.sampling import SamplingConfig, generate
from tests.support.talkers import talker
from workflows.errors import UsageError
from workflows.plain_text import plain
from workflows.sampling import Denoising
from workflows.talk import Talk, converse


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return talker(tmp_path_factory.mktemp("talker"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def talk_of(pretrained: Pretrained, out: io.StringIO, **settings: object) -> Talk:
    return Talk(pretrained, Denoising(**{"length": 8, **settings}), seed=0, out=out)  # type: ignore[arg-type]


def converse_in(pretrained: Pretrained, *lines: str, **settings: object) -> tuple[str, Talk]:
    out = io.StringIO()
    talk = talk_of(pretrained, out, **settings)
    rest: Iterator[str | None] = iter([*lines, None])
    converse(talk, lambda: next(rest), lambda text: print(text, file=out))
    return out.getvalue(), talk


def test_every_turn_reads_the_turns_before_it(pretrained: Pretrained) -> None:
    printed, talk = converse_in(pretrained, "The cat\n", "and the dog?\n", forbid_eos=True)
    assert [m["role"] for m in talk.messages] == ["user", "assistant"] * 2
    forbidden = (*pretrained.reserved, *pretrained.ends)
    config = SamplingConfig(steps=8, gen_length=8, block_length=8, forbidden_ids=forbidden)
    prompt = render(talk.messages[:3], pretrained.tokenizer, add_generation_prompt=True)
    [text] = generate(pretrained.model, torch.tensor([prompt]), config).answer_texts(
        pretrained.tokenizer
    )
    assert talk.messages[3]["content"] == text
    assert printed == "".join(plain(m["content"]) + "\n" for m in talk.messages[1::2])


def test_retry_replaces_the_answer(pretrained: Pretrained) -> None:
    _, talk = converse_in(pretrained, "The cat", "/retry", temperature=1.0, forbid_eos=True)
    _, first = converse_in(pretrained, "The cat", temperature=1.0, forbid_eos=True)
    assert len(talk.messages) == 2
    assert talk.messages[0] == first.messages[0]
    assert talk.messages[1] != first.messages[1]


def test_settings_change_or_say_why_not(pretrained: Pretrained) -> None:
    printed, talk = converse_in(
        pretrained, "/steps 4", "/length 64", "/steps 5", "/temperature x", "/temperature", "/nope"
    )
    assert (talk.denoising.steps, talk.denoising.length) == (4, 64)
    lines = printed.splitlines()
    assert lines[:2] == ["steps: 4", "length: 64"]
    assert "use --steps 4 or 6" in lines[2]
    assert lines[3].endswith("write a number")
    assert lines[4] == "temperature: 0.0"
    assert "/nope; there are /retry, /show" in lines[5]


def test_show_without_a_terminal_prints_stages(pretrained: Pretrained) -> None:
    printed, _ = converse_in(pretrained, "/show", "The cat", "/show", forbid_eos=True)
    lines = printed.splitlines()
    assert "no answer to show yet" in lines[0]
    stages = [line for line in lines if line.startswith("step ")]
    assert stages[0] == f"step   0 of 8: {'░' * 8}"
    assert [stage.count("░") for stage in stages] == list(range(8, -1, -1))
    assert "\x1b" not in printed


def test_show_on_a_terminal_plays_and_leaves_the_screen(
    pretrained: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Terminal()
    talk = talk_of(pretrained, out, forbid_eos=True)
    talk.ask("The cat")
    assert "\x1b" not in out.getvalue()
    monkeypatch.setattr("workflows.talk.time.sleep", lambda _seconds: None)
    talk.show()
    played = out.getvalue()
    assert played.count("\x1b[H\x1b[2J") == 9
    assert played.endswith("\x1b[?1049l")


def test_old_turns_leave_when_the_context_is_full(tmp_path: Path) -> None:
    small = talker(tmp_path, context=120)
    printed, talk = converse_in(small, *["abcdefgh" * 2] * 4, "x" * 200, forbid_eos=True)
    assert "(2 oldest turns left out: the context is full)" in printed
    assert 2 <= len(talk.messages) < 8
    assert talk.messages[-1]["role"] == "assistant"
    assert "are left beside an answer of 8" in printed.splitlines()[-1]


def test_ctrl_c_stops_the_answer_and_keeps_what_has_settled(pretrained: Pretrained) -> None:
    class Impatient(io.StringIO):
        """Interrupts when the first text has been printed."""

        def write(self, text: str) -> int:
            written = super().write(text)
            if text.strip() and "stopped" not in text:
                raise KeyboardInterrupt
            return written

    out = Impatient()
    talk = talk_of(pretrained, out, length=64, forbid_eos=True)
    talk.ask("The cat")
    assert out.getvalue().endswith(" (stopped)\n")
    answer = talk.messages[1]["content"]
    assert answer
    assert len(pretrained.tokenizer.encode(answer)) < 64


def test_an_interrupt_before_anything_settled_forgets_the_question(pretrained: Pretrained) -> None:
    def interrupt(_module: object, _inputs: object) -> None:
        raise KeyboardInterrupt

    hook = pretrained.model.model.transformer.blocks[0].register_forward_pre_hook(interrupt)
    try:
        printed, talk = converse_in(pretrained, "The cat")
    finally:
        hook.remove()
    assert printed == "(stopped)\n"
    assert talk.messages == []


def test_a_saved_dialogue_is_a_line_and_overwrites_nothing(
    pretrained: Pretrained, tmp_path: Path
) -> None:
    path = tmp_path / "talk.jsonl"
    printed, talk = converse_in(pretrained, "猫", f"/save {path}", f"/save {path}", "/save")
    assert json.loads(path.read_text()) == {"messages": talk.messages}
    assert f"{path}: 2 turns" in printed
    assert "is there already" in printed
    assert "/save needs a file" in printed


def test_quit_reset_and_help(pretrained: Pretrained) -> None:
    printed, talk = converse_in(pretrained, "a", "/reset", "/help", "/quit", "never asked")
    assert talk.messages == []
    for command in ("/retry", "/show", "/steps", "/length", "/temperature", "/save", "/quit"):
        assert command in printed


def test_what_a_model_says_cannot_drive_the_terminal() -> None:
    said = "a\x1b[31mred\x9b2J\r\u202egnp.exe\x00\x07\n\tb\u2028"
    assert plain(said) == "a\\x1b[31mred\\x9b2J\\r\\u202egnp.exe\\x00\\x07\n\tb\\u2028"
    assert plain("naïve 猫 👩‍👩‍👧 עברית") == "naïve 猫 👩‍👩‍👧 עברית"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"length": 100, "block": 32}, "use --length 96 or 128, or --block 25"),
        ({"length": 64, "block": 32, "steps": 5}, "use --steps 4 or 6, or one block"),
        ({"length": 0}, "1 token or more"),
        ({"length": 8, "cache_refresh": 2}, "without a cache"),
        ({"length": 8, "threshold": 0.9, "entropy": 1.0}, "drop one"),
    ],
)
def test_settings_that_cannot_be_say_what_can(
    pretrained: Pretrained, settings: dict[str, float], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        talk_of(pretrained, io.StringIO(), **settings)


@pytest.mark.parametrize(("length", "block"), [(64, 32), (100, 25), (20, 20), (97, 97), (7, 7)])
def test_blocks_fill_any_length(pretrained: Pretrained, length: int, block: int) -> None:
    assert Denoising(length=length).config(pretrained).block_length == block
