"""The options that several verbs share, and how a recipe and its settings are opened."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.storage import StorePath, at, store_root
from workflows.errors import UsageError

if TYPE_CHECKING:
    from workflows.plan import Planner
    from workflows.recipe import Recipe

DEFAULT_STORE = "./artifacts"

store = click.option(
    "--store", default=DEFAULT_STORE, show_default=True, help="Where the artifacts lie."
)
recipe = click.argument("recipe", callback=lambda _context, _parameter, text: at(text))
settings = click.option(
    "--set", "settings", multiple=True, metavar="STAGE.KEY=VALUE", help="Change one config value."
)
force = click.option("--force", default="", metavar="SEL,...", help="Rebuild these stages.")
until = click.option("--until", metavar="STAGE", help="Stop after this stage: --select +STAGE.")
chosen = click.option(
    "--select",
    "chosen",
    default="",
    metavar="SEL,...",
    help="Only these stages: NAME, +NAME (with what it needs), NAME+ (with what follows), 'n*'.",
)
sweep = click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="STAGE.KEY=[V,...]",
    help="Once for each value; several --sweep give every combination.",
)
elsewhere = click.option(
    "--store", "elsewhere", metavar="URI", help="A store other than the recipe's."
)
accept_drift = click.option(
    "--accept-drift", is_flag=True, help="Reuse what pinned code has outgrown."
)
model = click.option(
    "--model",
    "ref",
    metavar="REF|FOLDER",
    help="An artifact, or a folder in the published layout (config.json, *.safetensors, "
    "tokenizer.json), which wins over an artifact of that name; default: the newest model.",
)
device = click.option("--device", default="cpu", show_default=True, help="Where torch computes.")
dtype = click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="Precision of the weights.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine.")


def of_model(command: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options that choose a model: ref, store, device, dtype."""
    for option in (dtype, device, store, model):
        command = option(command)
    return command


@dataclass(frozen=True)
class Opened:
    """A recipe with its settings applied, and a planner over its store."""

    recipe: "Recipe"
    planner: "Planner"
    only: frozenset[str] | None
    """The stages that were selected; None: all of the recipe."""


def open_recipe(
    recipe: StorePath,
    *,
    settings: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    until: str | None = None,
    chosen: str = "",
    force: str = "",
    accept_drift: bool = False,
    elsewhere: str | None = None,
) -> Opened:
    """Open a recipe; one cut by `until` or `chosen` keeps what the chosen stages need.

    Raises:
        UsageError: the recipe, a setting or a selector cannot be.
    """
    from workflows.plan import Planner
    from workflows.recipe import load_recipe
    from workflows.selection import select, with_ancestors
    from workflows.terminal import Terminal

    loaded = load_recipe(recipe, _settings("--set", settings), _settings("--sweep", sweeps))
    forced = select(loaded, force, "--force")
    only = select(loaded, chosen, "--select") if chosen else None
    if until:
        before = with_ancestors(loaded, select(loaded, until, "--until"))
        only = before if only is None else only & before
    if only is not None:
        loaded = loaded.only(with_ancestors(loaded, only))
    store = store_root(elsewhere or loaded.store)
    planner = Planner(
        store,
        Path.cwd(),
        force=forced,
        accept_drift=accept_drift,
        on_listing=Terminal().listed,
    )
    return Opened(loaded, planner, only)


def _settings(option: str, settings: Sequence[str]) -> dict[str, str]:
    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"{option} {setting}: found no '='; write {option} STAGE.KEY=VALUE")
        parsed[key] = value
    return parsed
