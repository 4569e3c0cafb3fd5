"""llada report: what a filter did, or how a model learnt, as one page."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflows.cli import options

if TYPE_CHECKING:
    from workflows.artifact import Artifact


@click.command()
@click.argument("ref")
@click.option(
    "--against",
    metavar="REF",
    help="Compare with another filter (rules that differ, documents that flipped) or the curves of "
    "another model.",
)
@click.option("--html", type=click.Path(path_type=Path), default="report.html", show_default=True)
@options.store
def report(ref: str, against: str | None, html: Path, store: str) -> None:
    """Write one page on REF: what a filter kept and dropped, or how a model learnt.

    Of a filter it shows the funnel, statistics with their limits, and documents at them; of a model
    the curves of its training, with restarts and rollbacks. Either may be held --against another.
    """
    from pipelines.storage import store_root, write_bytes
    from workflows.lineage.refs import resolve

    root = store_root(store)
    found = resolve(root, ref)
    page = _page(found) if against is None else _compared(found, resolve(root, against))
    write_bytes(html.absolute(), page.encode())
    click.echo(f"report: {html}")


def _page(artifact: "Artifact") -> str:
    from workflows.report.facts import facts_of
    from workflows.report.page import page
    from workflows.report.training_facts import training_facts_of
    from workflows.report.training_page import training_page

    if artifact.manifest.makes == "model":
        return training_page(training_facts_of(artifact), None)
    return page(facts_of(artifact))


def _compared(artifact: "Artifact", against: "Artifact") -> str:
    """Return the page of two models or two filters; of filters the figures are printed, too."""
    from workflows.errors import UsageError
    from workflows.report.against import as_page, as_text
    from workflows.report.flips import comparison
    from workflows.report.training_facts import training_facts_of
    from workflows.report.training_page import training_page

    models = [each.manifest.makes == "model" for each in (artifact, against)]
    if all(models):
        return training_page(training_facts_of(artifact), training_facts_of(against))
    if any(models):
        raise UsageError(
            f"{artifact.label} and {against.label}: one is a model and one is not; --against takes "
            "two models (kinds pretrain and sft) or two filters: name two of one sort"
        )
    found = comparison(against, artifact)
    click.echo(as_text(found, lambda text: click.style(text, reverse=True)))
    return as_page(found)
