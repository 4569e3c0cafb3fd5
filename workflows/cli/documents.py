"""The verbs of a document: explain, trace."""

import json

import click

from pipelines.storage import store_root
from workflows.cli import options


@click.command()
@click.argument("doc_id")
@options.store
@options.as_json
def explain(doc_id: str, store: str, as_json: bool) -> None:
    """Tell what each stage did with DOC_ID: kept, or dropped by which rule, value and limit."""
    from workflows.lineage.documents import explain as explained
    from workflows.lineage.documents import explain_json, way_of

    steps = way_of(doc_id, store_root(store))
    if as_json:
        whole = steps[0].hits[0].doc_id
        click.echo(json.dumps({"doc_id": whole, "stages": explain_json(steps)}, indent=1))
        return
    click.echo(explained(steps))


@click.command()
@click.argument("doc_id")
@click.option("--all", "every", is_flag=True, help="Older chains of artifacts too.")
@options.store
@options.as_json
def trace(doc_id: str, every: bool, store: str, as_json: bool) -> None:
    """Follow DOC_ID (or 6 characters of it) to its tokens and models, or to what dropped it."""
    from workflows.lineage.documents import trace_json, trace_text
    from workflows.lineage.graph import read_graph
    from workflows.lineage.trace import trace as traced

    found = traced(read_graph(store_root(store)), doc_id)
    if as_json:
        click.echo(json.dumps(trace_json(found, every=every), indent=1))
        return
    click.echo(trace_text(found, every=every))
