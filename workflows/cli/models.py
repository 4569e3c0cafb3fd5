"""The verbs that ask a model once: generate and likelihood."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workflows.cli import options
from workflows.cli.sampling import of_sampling
from workflows.errors import UsageError
from workflows.plain_text import plain

if TYPE_CHECKING:
    from workflows.generating import Asked, Form
    from workflows.sampling import Denoising


@click.command()
@click.option(
    "--prompt", required=True, help="The beginning, the question, or a text with gaps; - for stdin."
)
@click.option("--chat", is_flag=True, help="Ask in the chat form that SFT taught.")
@click.option(
    "--infill",
    is_flag=True,
    help="Fill the gaps of the prompt: [MASK] (--gap tokens), or [MASK:5] (5 tokens). --length "
    "does not count.",
)
@click.option("--gap", default=8, show_default=True, help="Tokens of a plain [MASK].")
@of_sampling
@click.option("--seed", default=0, show_default=True, help="Fixes the text at temperature > 0.")
@options.of_model
@click.option(
    "--trace",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Write a page that plays the denoising step by step.",
)
@options.as_json
def generate(
    *,
    prompt: str,
    chat: bool,
    infill: bool,
    gap: int,
    denoising: "Denoising",
    seed: int,
    trace: Path | None,
    as_json: bool,
    **model: Any,
) -> None:
    """Sample text from a trained model: continue a prompt, answer a question, or fill gaps."""
    from workflows.generating import ask
    from workflows.models import load_model

    if chat and infill:
        raise UsageError("--chat and --infill together; a text with gaps is no dialogue: drop one")
    prompt = read_text("--prompt", prompt)
    if not prompt and not chat:
        raise UsageError("--prompt is empty; write a beginning, or -- with --chat -- a question")
    if trace is not None and not trace.parent.is_dir():
        raise UsageError(f"--trace {trace}: there is no folder {trace.parent}; make it first")
    pretrained = load_model(model["store"], model["ref"], **_where(model))
    form: Form = "chat" if chat else "infill" if infill else "text"
    asked = ask(pretrained, prompt, denoising, form=form, gap=gap, seed=seed)
    if trace is not None:
        _write_trace(trace, asked)
    if as_json:
        click.echo(json.dumps(asked.as_json(), ensure_ascii=False))
    else:
        text = asked.text
        click.echo(plain(text) if sys.stdout.isatty() else text)


@click.command()
@click.option("--prompt", required=True, help="What comes before; - for stdin.")
@click.option(
    "--answer", "answers", required=True, multiple=True, help="A candidate; give several to rank."
)
@click.option("--chat", is_flag=True, help="Ask in the chat form that SFT taught.")
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="Monte Carlo samples an answer (Eq. 6).",
)
@click.option("--cfg", type=click.FloatRange(0, 100), default=0.0, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Fixes the masks that are drawn.")
@options.of_model
@options.as_json
def likelihood(
    *,
    prompt: str,
    answers: tuple[str, ...],
    chat: bool,
    samples: int,
    cfg: float,
    seed: int,
    as_json: bool,
    **model: Any,
) -> None:
    """Estimate how likely a model finds answers to a prompt, and rank them."""
    from workflows.generating import judge, ranking
    from workflows.models import load_model

    prompt = read_text("--prompt", prompt)
    if not all(answers):
        raise UsageError("--answer is empty; each needs one token at least")
    pretrained = load_model(model["store"], model["ref"], **_where(model))
    judged = judge(pretrained, prompt, answers, chat=chat, samples=samples, cfg=cfg, seed=seed)
    if as_json:
        click.echo(json.dumps([one.as_json() for one in judged], ensure_ascii=False))
    else:
        click.echo(ranking(judged))


def read_text(option: str, text: str) -> str:
    """Return the text of an option, or standard input for a dash."""
    if text != "-":
        return text
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{option} -: standard input is not UTF-8 ({error.reason} at byte {error.start}); "
            "convert it first"
        ) from error


def _where(model: dict[str, Any]) -> dict[str, str]:
    return {"device": model["device"], "dtype": model["dtype"]}


def _write_trace(path: Path, asked: "Asked") -> None:
    from llada.pages.trace import trace_page

    path.write_text(trace_page(asked.course).html, encoding="utf-8")
    click.echo(f"{path}: {len(asked.course.tokens)} tokens, {asked.course.steps} steps", err=True)
