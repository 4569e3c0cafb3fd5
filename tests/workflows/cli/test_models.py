"""The verbs that ask a model: what they print, and what they say when it cannot be."""

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from llada.diffusion import log_likelihood
from llada.pretrained import Pretrained
from tests.support.commands import interrupt, start, wait_until
from tests.support.talkers import save_talker
from workflows.cli import cli
from workflows.errors import WorkflowError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_talker(tmp_path_factory.mktemp("talker") / "tiny")


def run(*arguments: str | Path, typed: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], input=typed, catch_exceptions=True)


def printed(*arguments: str | Path, typed: str | bytes | None = None) -> str:
    done = run(*arguments, typed=typed)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def test_a_folder_generates_the_same_from_stdin(folder: Path) -> None:
    common = ("generate", "--model", folder, "--length", "8", "--forbid-eos", "--json")
    given = json.loads(printed(*common, "--prompt", "The cat\nsat"))
    piped = json.loads(printed(*common, "--prompt", "-", typed="The cat\nsat\n"))
    assert given.pop("seconds") >= 0
    assert piped.pop("seconds") >= 0
    assert piped == given
    assert given["tokens"] == given["forward_passes"] == 8
    assert given["finish_reason"] == "length"
    plain = printed(*common[:-1], "--prompt", "The cat\nsat")
    assert plain == given["text"] + "\n"


def test_gaps_are_filled_and_the_text_around_them_stands(folder: Path) -> None:
    text = "The cat [MASK:3] on the [MASK] log"
    found = json.loads(
        printed("generate", "--model", folder, "--infill", "--gap", "2", "--prompt", text, "--json",
                "--forbid-eos")
    )  # fmt: skip
    before, between, after = text.replace("[MASK:3]", "[MASK]").split("[MASK]")
    assert found["tokens"] == 5
    assert found["text"].startswith(before)
    assert found["text"].endswith(after)
    assert between in found["text"]
    assert found["text"] != before + between + after


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--prompt", "x", "--infill"], "there is no gap to fill; write [MASK]"),
        (["--prompt", "[MASK:0]", "--infill"], "[MASK:0]: a gap has 1 to 4096 tokens"),
        (["--prompt", "[MASK:x]", "--infill"], "as in [MASK:5]"),
        (["--prompt", "x", "--infill", "--chat"], "drop one"),
        (["--prompt", ""], "--prompt is empty"),
        (["--prompt", "x", "--length", "300"], "the model reads 256 at most"),
        (["--prompt", "x", "--length", "64", "--steps", "3"], "use --steps 2 or 4"),
        (["--prompt", "x", "--trace", "nowhere/t.html"], "there is no folder nowhere"),
        (["--prompt", "-"], "standard input is not UTF-8"),
    ],
)
def test_what_cannot_be_generated_is_said(folder: Path, arguments: list[str], says: str) -> None:
    done = run("generate", "--model", folder, *arguments, typed=b"\xff")
    assert says in str(done.exception)


def test_a_space_before_the_answer_belongs_to_it(folder: Path) -> None:
    """Trap 20: words follow a space in the text that models learn from."""
    asked = ["likelihood", "--model", folder, "--samples", "4", "--json"]
    one = json.loads(printed(*asked, "--prompt", "The cat ", "--answer", "on the mat"))
    two = json.loads(printed(*asked, "--prompt", "The cat", "--answer", " on the mat"))
    assert one[0]["answer"] == "on the mat"
    del one[0]["answer"], two[0]["answer"]
    assert one == two


def test_likelihoods_are_ranked(folder: Path) -> None:
    answers = [" on the mat", "猫猫"]
    common = ["likelihood", "--model", folder, "--prompt", "The cat", "--samples", "4"]
    for answer in answers:
        common += ["--answer", answer]
    ranked = json.loads(printed(*common, "--json"))
    assert sorted(one["answer"] for one in ranked) == sorted(answers)
    assert ranked[0]["log_likelihood"] >= ranked[1]["log_likelihood"]
    model = Pretrained.load(folder)
    for one in ranked:
        ids = model.tokenizer.encode(one["answer"])
        assert len(ids) <= 6  # so few tokens that every mask is tried: nothing is left to chance
        value, error = log_likelihood(
            model.model,
            model.tokenizer.encode("The cat"),
            ids,
            samples=1000,
            mask_id=model.tokenizer.special.mask,
            rng=torch.Generator().manual_seed(0),
        )
        assert one["log_likelihood"] == pytest.approx(value, abs=5 * error + 1e-4)
        assert one["stderr"] == 0
        assert one["per_token"] == pytest.approx(one["log_likelihood"] / len(ids))
        assert one["behind"] == pytest.approx(
            ranked[0]["log_likelihood"] - one["log_likelihood"], abs=1e-6
        )
    table = printed(*common).splitlines()
    assert "exact" in table[1]
    assert ranked[0]["answer"] in table[1]
    assert ranked[1]["answer"] in table[2]


def test_a_piped_talk_prints_answers_alone(folder: Path) -> None:
    said = printed("chat", "--model", folder, "--length", "8", typed="The cat\n/length\n")
    assert said.endswith("length: 8\n")
    assert "\x1b" not in said
    assert "> " not in said


def test_a_folder_that_is_no_model_is_named(folder: Path, tmp_path: Path) -> None:
    def says(target: Path) -> str:
        done = run("generate", "--store", tmp_path / "s", "--model", target, "--prompt", "x")
        assert isinstance(done.exception, WorkflowError | ValueError)
        return str(done.exception)

    (tmp_path / "empty").mkdir()
    assert "a folder without config.json" in says(tmp_path / "empty")
    without = shutil.copytree(folder, tmp_path / "without")
    (without / "tokenizer.json").unlink()
    assert "no tokenizer.json in" in says(without)
    config = json.loads((folder / "config.json").read_text())
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "config.json").write_text(json.dumps({**config, "mask_token_id": 9}))
    assert "config.json has the mask id 9, tokenizer.json 4" in says(other)
    bare = shutil.copytree(folder, tmp_path / "bare")
    tokenizer = (folder / "tokenizer.json").read_text().replace("<|eot_id|>", "<|other|>")
    (bare / "tokenizer.json").write_text(tokenizer)
    assert "the tokenizer has no <|eot_id|>" in says(bare)


def test_a_server_refuses_before_it_reads_a_model(tmp_path: Path) -> None:
    for arguments, says in (
        (["--host", "0.0.0.0"], "--api-key-env"),
        (["--api-key-env", "NO_SUCH_KEY"], "that variable holds no key"),
        (["--batch", "0"], "--batch 0"),
    ):
        done = run("serve", "--store", tmp_path, *arguments)
        assert says in str(done.exception)


@pytest.mark.slow
def test_a_server_says_where_it_is_and_ends_on_ctrl_c(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = start("serve", "--model", folder, "--port", "0", cwd=tmp_path, log=log)
    wait_until(lambda: "http://127.0.0.1:" in log.read_text(), server, log)
    assert interrupt(server) == 0


def test_a_port_that_is_taken_is_said(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--model", folder, "--port", port)
    assert f"cannot listen on 127.0.0.1:{port}" in str(done.exception)
