"""The verbs of a recipe: plan, run, status, accept."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from llada.training.sizing import DEFAULT_MFU
from pipelines.secrets import redacted
from pipelines.storage import StorePath, store_root
from workflows.cli import options
from workflows.cli.options import open_recipe
from workflows.errors import WorkflowError

if TYPE_CHECKING:
    from workflows.plan import Planned

_WORK_TO_DO = 2


@click.command()
@options.recipe
@options.settings
@options.sweep
@options.chosen
@options.until
@options.force
@options.accept_drift
@options.elsewhere
@options.as_json
@click.option("--exit-code", is_flag=True, help="Exit with 0 if all is up to date, else with 2.")
@click.option(
    "--mfu",
    default=DEFAULT_MFU,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the GPUs' peak rate that trainings are reckoned with.",
)
@click.pass_context
def plan(
    context: click.Context,
    /,
    recipe: StorePath,
    as_json: bool,
    exit_code: bool,
    mfu: float,
    **choices: Any,
) -> None:
    """Say what a run of RECIPE would reuse and what it would run, and why. Changes nothing.

    Of each training still to run: steps, tokens, FLOPs, memory a GPU by ZeRO stage and, where the
    recipe names its GPU, hours; one that cannot fit ends with 1 and the change that would fit.
    """
    from workflows.sizing import sizings, too_large
    from workflows.sizing_text import described
    from workflows.summary import table

    opened = open_recipe(recipe, **choices)
    planned = opened.planner.plan(opened.recipe, sources_may_lack=_names_a_gpu(opened))
    rows = [one.as_json() for one in planned]
    sized = sizings(planned, mfu)
    if as_json:
        each = {p.stage.name: p.estimate.model_dump() for p in planned if p.estimate}
        estimates = {"total": _total(planned), "stages": each}
        trainings = {name: sizing.as_json() for name, sizing in sized.items()}
        content = {"stages": rows, "estimates": estimates, "training": trainings}
        click.echo(json.dumps(content, indent=1))
    else:
        shown = [
            {"stage": row["name"], "action": row["verdict"], "why": row["why"]} for row in rows
        ]
        click.echo(table(shown, ["stage", "action", "why"]))
        click.echo(described(sized), nl=False)
        click.echo(_forecast(planned), nl=False)
    if (refusal := too_large(sized)) is not None:
        raise WorkflowError(refusal)
    if exit_code and any(one.verdict != "REUSE" for one in planned):
        context.exit(_WORK_TO_DO)


def _names_a_gpu(opened: options.Opened) -> bool:
    """Whether the recipe asks what a training will take: often before its corpus is there."""
    return any(stage.resources.gpu for stage in opened.recipe.stages)


def _total(planned: Sequence["Planned"]) -> Mapping[str, float]:
    known = [one.estimate for one in planned if one.estimate]
    return {
        "seconds": round(sum(one.seconds for one in known), 1),
        "bytes": sum(one.bytes for one in known),
        "gpu_hours": round(sum(one.gpu_hours for one in known), 3),
        "stages": len(known),
    }


def _forecast(planned: Sequence["Planned"]) -> str:
    """Return one line on what the work will take, '' where nothing is known or to do."""
    total = _total(planned)
    if not total["stages"]:
        return ""
    open_stages = sum(one.verdict in ("RUN", "RESUME", "MAYBE") for one in planned)
    gpus = f", {total['gpu_hours']:.2f} GPU-h" if total["gpu_hours"] else ""
    unknown = open_stages - int(total["stages"])
    rest = f"; {unknown} more were never run" if unknown else ""
    return (
        f"\nestimate: {total['seconds']:,.0f} s of work{gpus}, {total['bytes'] / 1e6:,.1f} MB new, "
        f"from earlier runs of {total['stages']} stages{rest}\n"
    )


@click.command()
@options.recipe
@options.settings
@options.sweep
@options.chosen
@options.until
@options.force
@options.accept_drift
@click.option("--keep-going", "-k", is_flag=True, help="Run on where nothing follows a failure.")
@click.option(
    "--address",
    metavar="RAY",
    help="A Ray cluster: http://HEAD:8265 sends a job that outlives this terminal; auto or "
    "HOST:PORT drives the cluster from here.",
)
@click.option("--detach", is_flag=True, help="With a job: do not follow it.")
@options.elsewhere
@click.option("--run-id", hidden=True, help="The id a job was submitted with.")
@click.option("--sent-as", hidden=True, help="The command that submitted it.")
def run(
    recipe: StorePath,
    *,
    address: str | None,
    detach: bool,
    keep_going: bool,
    run_id: str | None,
    sent_as: str | None,
    **choices: Any,
) -> None:
    """Carry RECIPE out: reuse what is there, run the rest, end with a page to read."""
    from workflows import jobs
    from workflows.cli.driving import drive
    from workflows.cli.sending import follow, send
    from workflows.sizing import require_fit

    opened = open_recipe(recipe, **choices)
    if _names_a_gpu(opened):
        require_fit(opened.planner.plan(opened.recipe))
    command = sent_as or redacted(["llada", *sys.argv[1:]])
    if address is not None and jobs.is_job_server(address):
        arguments = _passed_on(sys.argv[2:], recipe)
        follow(send(recipe, opened, address, command, arguments), detach=detach)
        return
    drive(recipe, opened, address, command=command, keep_going=keep_going, run_id=run_id)


def _passed_on(arguments: Sequence[str], recipe: StorePath) -> list[str]:
    """Return a command's arguments without the recipe and what says where to run."""
    kept: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name = argument.split("=", 1)[0]
        if name in ("--address", "--store"):
            if "=" not in argument:
                next(waiting, None)
        elif argument != str(recipe) and argument != "--detach":
            kept.append(argument)
    return kept


@click.command()
@options.recipe
@options.settings
@options.sweep
@options.elsewhere
@options.as_json
def status(recipe: StorePath, as_json: bool, **choices: Any) -> None:
    """Show how far each stage of RECIPE is: done, half done (with shards), or not begun."""
    from workflows.summary import table

    opened = open_recipe(recipe, **choices)
    rows = []
    for planned in opened.planner.plan(opened.recipe):
        found = planned.artifact
        manifest = found.manifest if found else None
        rows.append(
            {
                "stage": planned.stage.name,
                "state": _state(planned),
                "artifact": found.folder.name if found else "",
                "rows": f"{manifest.ledger.kept.rows:,}" if manifest else "",
                "seconds": f"{manifest.seconds:.1f}" if manifest else "",
                "detail": planned.why,
            }
        )
    if as_json:
        click.echo(json.dumps({"stages": rows}, indent=1))
        return
    click.echo(table(rows, ["stage", "state", "artifact", "rows", "seconds", "detail"]))


def _state(planned: "Planned") -> str:
    if planned.why.startswith("quarantined"):
        return "quarantined"
    return {"REUSE": "done", "RESUME": "half done", "DRIFT": "drifted"}.get(
        planned.verdict, "to do"
    )


@click.command()
@click.argument("ref")
@click.option("--note", default="", help="Why it is good as it is.")
@options.store
def accept(ref: str, note: str, store: str) -> None:
    """Publish a result that a check put into quarantine. REF is its folder, or its stage's name."""
    from workflows.attempt import user
    from workflows.quarantine import accept as accepted
    from workflows.quarantine import find

    artifact = accepted(find(store_root(store), ref), by=user(), note=note)
    click.echo(f"published {artifact.label} in {artifact.folder}")
