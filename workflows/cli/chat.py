"""The verb of the dialogue in the terminal: chat."""

import sys
from typing import TYPE_CHECKING, Any

import click

from workflows.cli import options
from workflows.cli.sampling import of_sampling

if TYPE_CHECKING:
    from workflows.sampling import Denoising


@click.command()
@of_sampling
@click.option("--seed", default=0, show_default=True, help="Fixes the answers at temperature > 0.")
@options.of_model
def chat(*, denoising: "Denoising", seed: int, **model: Any) -> None:
    """Talk to a model, turn by turn; /help lists what else there is.

    Answers appear as they settle, from the left. Ctrl-C stops an answer, not the talk. Turns that
    no longer fit into the context are left out, the oldest first.
    """
    from workflows.models import load_model
    from workflows.talk import Talk, converse

    pretrained = load_model(
        model["store"], model["ref"], device=model["device"], dtype=model["dtype"]
    )
    talk = Talk(pretrained, denoising, seed=seed, out=sys.stdout)
    live = sys.stdin.isatty()
    if live:
        import readline  # noqa: F401  gives input() a history

        click.echo(f"{pretrained.name}, context {pretrained.context}. /help lists commands.")
    converse(talk, _ask_terminal if live else _read_pipe, click.echo)


def _ask_terminal() -> str | None:
    """Return a line that a person types; Ctrl-C discards it."""
    while True:
        try:
            return input("\n> ")
        except EOFError:
            click.echo()
            return None
        except KeyboardInterrupt:
            click.echo()


def _read_pipe() -> str | None:
    return sys.stdin.readline() or None
