"""The verbs that write what a store knows for other systems: export openlineage."""

from pathlib import Path

import click

from pipelines.storage import store_root
from workflows.cli import options


@click.group()
def export() -> None:
    """Write what the store knows in the form of another system."""


@export.command()
@click.argument("run")
@click.option("--out", type=click.Path(path_type=Path), help="Write JSON lines to this file.")
@click.option("--url", metavar="URL", help="POST the events to this server (Marquez, DataHub...).")
@options.store
def openlineage(run: str, out: Path | None, url: str | None, store: str) -> None:
    """Export RUN (an id, a beginning of one, last, last~1) as OpenLineage events.

    Without --out and --url the JSON lines are printed. A key for the server is taken from the
    environment variable OPENLINEAGE_API_KEY.
    """
    from pipelines import storage
    from workflows.errors import RefError
    from workflows.lineage import openlineage as standard
    from workflows.lineage.runs import find_run

    root = store_root(store)
    journal = find_run(root, run)
    if journal is None:
        raise RefError(f"no run of {root} begins with {run!r}; `last` is the newest")
    found = standard.events(journal, root)
    text = "".join(standard.lines(found))
    if out:
        storage.write_bytes(out, text.encode())
        click.echo(f"{len(found)} events in {out}", err=True)
    if url:
        click.echo(f"{len(found)} events sent to {standard.send(found, url)}", err=True)
    if not out and not url:
        click.echo(text, nl=False)
