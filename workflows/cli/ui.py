"""The verb of the lineage page: ui."""

from pathlib import Path

import click

from pipelines.storage import store_root
from workflows.cli import options
from workflows.errors import RefError, UsageError


@click.command()
@options.store
@click.option("--port", default=8799, show_default=True, help="0 takes any that is free.")
@click.option("--run", "run_id", metavar="RUN", help="Open this run; default: the newest.")
@click.option("--against", metavar="RUN", help="Compare the run with this earlier one.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the page of one run as a single file instead of serving it.",
)
def ui(store: str, port: int, run_id: str | None, against: str | None, html: Path | None) -> None:
    """Show runs and what they made as a page: graph, documents kept and dropped, comparison."""
    from workflows.ui.index import Index
    from workflows.ui.page import file_page
    from workflows.ui.server import PageServer
    from workflows.ui.view import story_of

    root = store_root(store)
    if not isinstance(root, Path):
        raise UsageError(
            f"--store {store}: the page reads stores on local disks; found a bucket. Use "
            "`llada lineage`, `diff` and `trace`, which read buckets, or copy its manifests here."
        )
    index = Index(root)
    index.refresh()
    for wanted in filter(None, (run_id, against)):
        story_of(index, wanted)
    if html is not None:
        chosen = run_id or next(iter(index.runs), None)
        if chosen is None:
            raise RefError(f"no run in {index.store}; run a recipe first, or name it with --store.")
        html.write_text(file_page(index, chosen, against), encoding="utf-8")
        click.echo(f"{html}: run {chosen}, {html.stat().st_size / 1e6:.2f} MB")
        return
    with PageServer(index, port, run_id, against) as server:
        click.echo(f"{server.address}  ({len(index.runs):,} runs; Ctrl-C ends)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo()
