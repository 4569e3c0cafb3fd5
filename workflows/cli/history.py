"""The verbs of runs: diff."""

import json

import click

from pipelines.storage import store_root
from workflows.cli import options


@click.command()
@click.argument("a")
@click.argument("b")
@options.store
@options.as_json
def diff(a: str, b: str, store: str, as_json: bool) -> None:
    """Say what differs between A and B, and what of it explains the changed results.

    Each is a run (its id or a beginning of it, last, last~1, ...) or an artifact as `llada lineage`
    takes it, which stands for everything it was made from.
    """
    from workflows.lineage.compare import compare
    from workflows.lineage.compare_text import comparison_json, comparison_text
    from workflows.lineage.runs import sides

    found = compare(*sides(store_root(store), a, b))
    if as_json:
        click.echo(json.dumps(comparison_json(found), indent=1))
        return
    click.echo(comparison_text(found))
