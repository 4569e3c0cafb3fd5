"""The verbs of MLflow: sync, promote, models."""

import json
from pathlib import Path

import click

from pipelines.storage import store_root
from workflows.cli import options
from workflows.errors import RefError, TrackingError


@click.command()
@options.store
@options.as_json
def sync(store: str, as_json: bool) -> None:
    """Send MLflow what it does not have of this store's runs, and wait until it has."""
    from workflows.tracking.drain import sync as send
    from workflows.tracking.progress import tracking_uri_for, without_password

    root = store_root(store)
    if isinstance(root, Path) and not root.is_dir():
        raise RefError(f"there is no store at {root}. Name one with --store.")
    uri = without_password(tracking_uri_for(root))
    found = send(root, log=lambda line: click.echo(line, err=True))
    left = [one for one in found if one.problem]
    if as_json:
        rows = [{"run": one.run, "mirrored": one.mirrored, "problem": one.problem} for one in found]
        click.echo(json.dumps({"tracking": uri, "left": len(left), "runs": rows}, indent=1))
    else:
        for one in found:
            click.echo(f"{one.run}  {one.problem or f'{one.mirrored:,} events sent'}")
        if not left:
            click.echo(f"MLflow at {uri} has everything of {root}.")
    if left:
        raise TrackingError(
            f"{len(left)} of {len(found)} runs are not whole in MLflow, for the reasons above. "
            "Nothing is lost: run the same command again when they are gone."
        )


@click.command()
@click.argument("ref")
@click.option("--as", "release", required=True, metavar="NAME@ALIAS", help="E.g. demo@champion.")
@options.store
def promote(ref: str, release: str, store: str) -> None:
    """Register the model REF in MLflow under a name, and let an alias point to it."""
    from workflows.lineage.refs import resolve
    from workflows.tracking import registry

    name, alias = registry.split_release(release)
    root = store_root(store)
    version = registry.promote(resolve(root, ref), root, name, alias)
    click.echo(f"models:/{name}@{alias} is version {version.version}: {version.artifact}")


@click.command()
@options.store
@options.as_json
def models(store: str, as_json: bool) -> None:
    """List the registered models: version, aliases and the artifact each one names."""
    from workflows.summary import table
    from workflows.tracking.progress import tracking_uri_for
    from workflows.tracking.registry import registered

    versions = registered(tracking_uri_for(store_root(store)))
    if as_json:
        rows = [one.model_dump(mode="json") for one in versions]
        click.echo(json.dumps({"models": rows}, indent=1))
        return
    if not versions:
        click.echo("No model is registered: llada promote REF --as NAME@ALIAS registers one.")
        return
    shown = [
        {
            "model": one.name,
            "version": str(one.version),
            "aliases": ", ".join(one.aliases),
            "artifact": one.artifact,
            "path": one.path,
        }
        for one in versions
    ]
    click.echo(table(shown, ["model", "version", "aliases", "artifact", "path"]))
