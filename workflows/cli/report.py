"""llada report: what a filter did, or how a model learnt, as one page."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflows.cli import options

if TYPE_CHECKING:
    from workflows.artifact import Artifact


@click.command()
@click.argument("ref")
@click.option("--against", metavar="REF", help="Draw another model's curves beside.")
@click.option("--html", type=click.Path(path_type=Path), default="report.html", show_default=True)
@options.store
def report(ref: str, against: str | None, html: Path, store: str) -> None:
    """Write one page on REF: what a filter kept and dropped, or how a model learnt.

    Of a filter it shows the funnel, statistics with their limits, and documents at them; of a model
    the curves of its training, with restarts and rollbacks, alone or --against another's.
    """
    from pipelines.storage import store_root, write_bytes
    from workflows.lineage.refs import resolve

    root = store_root(store)
    found = resolve(root, ref)
    other = None if against is None else resolve(root, against)
    write_bytes(html.absolute(), _page(found, other).encode())
    click.echo(f"report: {html}")


def _page(artifact: "Artifact", against: "Artifact | None") -> str:
    from workflows.errors import UsageError
    from workflows.report.facts import facts_of
    from workflows.report.page import page
    from workflows.report.training_facts import training_facts_of
    from workflows.report.training_page import training_page

    models = [each for each in (artifact, against) if each and each.manifest.makes == "model"]
    if against is not None and len(models) < 2:
        raise UsageError(
            "--against lays the curves of one model over another's, and "
            f"{artifact.label} and {against.label} are not both models: name two that kinds "
            "pretrain or sft made, or leave --against out"
        )
    if not models:
        return page(facts_of(artifact))
    return training_page(
        training_facts_of(artifact), training_facts_of(against) if against else None
    )
