"""The verbs of an artifact: show, lineage, reproduce."""

import json
from pathlib import Path

import click

from pipelines.storage import store_root
from workflows.cli import options


@click.command()
@click.argument("ref")
@options.store
@options.as_json
def show(ref: str, store: str, as_json: bool) -> None:
    """Show the manifest of REF: a stage, stage@digest, folder, tag or models:/NAME@ALIAS."""
    from workflows.lineage.graph import read_graph
    from workflows.lineage.refs import find_artifact
    from workflows.summary import describe

    artifact = find_artifact(read_graph(store_root(store)), ref).load()
    if as_json:
        click.echo(artifact.manifest.model_dump_json(indent=1))
        return
    click.echo(describe(artifact))


@click.command()
@click.argument("ref")
@click.option("--up", "direction", flag_value="up", help="What it was made from (the default).")
@click.option("--down", "direction", flag_value="down", help="All that was built from it.")
@options.store
@options.as_json
def lineage(ref: str, direction: str | None, store: str, as_json: bool) -> None:
    """Draw the tree behind REF back to its source files, or with --down all it was built into.

    REF is a stage, stage@digest, an artifact's folder, a tag, models:/NAME@ALIAS, or the name or
    path of a source file, for which the artifacts and models that it reached are shown.
    """
    from workflows.lineage import tree
    from workflows.lineage.graph import read_graph
    from workflows.lineage.refs import find
    from workflows.lineage.sources import reach, reach_text

    graph = read_graph(store_root(store))
    found = find(graph, ref)
    for folder in graph.unreadable:
        click.echo(f"llada: left out {folder}: its manifest is of another version", err=True)
    if found.file is not None:
        if direction == "up":
            raise click.UsageError(f"{ref!r} is a source file: nothing lies behind it; use --down")
        reached = reach(graph, found.file)
        if as_json:
            click.echo(json.dumps(tree.reach_json(graph, found.file, reached), indent=1))
            return
        click.echo(reach_text(found.file, reached))
        return
    assert found.node is not None
    if as_json:
        nodes = graph.down(found.node) if direction == "down" else graph.up(found.node)
        rows = tree.nodes_json(graph, nodes)
        click.echo(json.dumps({"ref": found.node.label, "artifacts": rows}, indent=1))
        return
    draw = tree.down_text if direction == "down" else tree.up_text
    click.echo(draw(graph, found.node))


@click.command()
@click.argument("ref")
@click.option("--into", metavar="STORE", help="An empty folder to build in; default: a temporary.")
@click.option("--keep", is_flag=True, help="Keep the temporary store, and say where it is.")
@click.option("--anyway", is_flag=True, help="Even where the exact code is not known.")
@options.store
@options.as_json
def reproduce(ref: str, into: str | None, store: str, **flags: bool) -> None:
    """Make REF and all before it again, from its commit, configs and sources, and compare.

    Exit code 0 only where every stage holds the same content as then.
    """
    import shutil
    import sys
    import tempfile

    from workflows.lineage import reproduce as again
    from workflows.lineage.graph import read_graph
    from workflows.lineage.refs import find_artifact

    graph = read_graph(store_root(store))
    node = find_artifact(graph, ref)
    target = Path(into or tempfile.mkdtemp(prefix="llada-again-")).expanduser().resolve()
    try:
        found = again.reproduce(graph, node, target, again.in_subprocess, anyway=flags["anyway"])
    finally:
        if not into and not flags["keep"]:
            shutil.rmtree(target, ignore_errors=True)
    if flags["as_json"]:
        click.echo(json.dumps(again.reproduction_json(found), indent=1))
    else:
        click.echo(again.reproduction_text(found))
        if into or flags["keep"]:
            click.echo(f"kept in {target}")
    if not found.same:
        sys.exit(1)
