"""The verbs that write what a store holds for other systems: export model, export openlineage."""

from pathlib import Path
from typing import Any

import click

from pipelines.storage import store_root
from workflows.cli import options


@click.group()
def export() -> None:
    """Write what the store holds in the form of another system."""


@export.command()
@click.argument("ref")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder, new or empty.",
)
@click.option(
    "--step",
    metavar="N|newest",
    help="From a training under way or broken off: the checkpoint after N steps, or the newest.",
)
@click.option(
    "--layout",
    type=click.Choice(["llada", "llama"]),
    default="llada",
    show_default=True,
    help="Names of config and weights: as LLaDA is published, or as LLaMA.",
)
@click.option(
    "--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True
)
@options.store
def model(ref: str, out: Path, step: str | None, store: str, **form: Any) -> None:
    """Export the model REF (a stage, stage@digest, folder, tag) in a published layout.

    config.json, safetensors, tokenizer and chat template, as MaskPredictor.from_pretrained and
    readers of the published checkpoints take them. With --step, REF is the name of a training
    stage, finished or not, and every file of the checkpoint is checked before.
    """
    from workflows.errors import UsageError
    from workflows.exporting import Form, export_in_training, export_model

    if step is not None and step != "newest" and not step.isdigit():
        raise UsageError(f"--step {step}: give a number of steps, or newest")
    root = store_root(store)
    if step is None:
        done = export_model(root, ref, out, Form(**form))
    else:
        at = None if step == "newest" else int(step)
        done = export_in_training(root, ref, out, at, Form(**form))
    for damaged in done.passed_over:
        click.echo(f"passed over: {damaged}", err=True)
    click.echo(f"{done.origin} in {done.folder}", err=True)


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
