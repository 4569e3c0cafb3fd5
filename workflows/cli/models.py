"""The verbs of a trained model: generate."""

from typing import Any

import click

from pipelines.storage import store_root
from workflows.cli import options


@click.command()
@click.option("--prompt", required=True, help="The beginning (or, with --chat, the question).")
@click.option("--model", "ref", default=None, metavar="REF", help="A model; default: the newest.")
@click.option("--chat", is_flag=True, help="Ask in the chat form that SFT taught.")
@click.option("--length", default=64, show_default=True, help="Tokens to sample.")
@click.option("--steps", default=64, show_default=True, help="Denoising steps.")
@click.option(
    "--block", default=32, show_default=True, help="Tokens a block; blocks go left to right."
)
@click.option("--temperature", default=0.0, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Fixes the text at temperature > 0.")
@options.store
def generate(prompt: str, ref: str | None, chat: bool, store: str, **choices: Any) -> None:
    """Sample text from a trained model by low-confidence remasking."""
    from workflows.sampling import answer

    click.echo(answer(store_root(store), ref, prompt, chat=chat, **choices))
