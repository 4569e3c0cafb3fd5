"""The verb filter: a filtering job over any files, without a recipe."""

import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from pipelines.secrets import redacted
from pipelines.storage import StorePath, store_root, write_bytes
from workflows.cli import options
from workflows.errors import UsageError

if TYPE_CHECKING:
    from filters.custom import CustomRules
    from workflows.artifact import Artifact

_WORD_LISTS = ("unicode", "spacy")
_JOB = (
    "rules",
    "languages",
    "min_language_score",
    "words",
    "dedup",
    "broken_files",
    "workers",
    "address",
)
"""Options that say what a job is; --rejudge asks about one that is done."""


@click.command("filter")
@click.argument("inputs", nargs=-1)
@click.option(
    "--out",
    metavar="FOLDER",
    help="Where results are kept, here or s3://BUCKET/PREFIX; not for --preview.",
)
@click.option(
    "--rules",
    default="gopher_repetition,gopher",
    show_default=True,
    metavar="SET,...",
    help="Rule sets in the order that assigns reasons (c4, fineweb, fineweb2/deu_Latn, ...), or a "
    "YAML file of rules.",
)
@click.option("--languages", default="", metavar="CODE,...", help="Keep these; default: all.")
@click.option("--min-language-score", type=float, default=0.65, show_default=True)
@click.option(
    "--limit", "limits", multiple=True, metavar="RULE=VALUE", help="Change the limit of a rule."
)
@click.option("--words", type=click.Choice(_WORD_LISTS), default="unicode", show_default=True)
@click.option(
    "--dedup",
    type=click.Choice(("none", "exact", "minhash")),
    default="none",
    show_default=True,
    help="Also remove copies.",
)
@click.option(
    "--broken-files",
    type=click.Choice(("stop", "set_aside")),
    default="stop",
    show_default=True,
    help="What a damaged file does: end the job, since most are failed downloads; or be kept as "
    "far as it is readable, and counted.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="the cores of this machine",
    help="Processes that share the work.",
)
@click.option(
    "--address",
    metavar="RAY",
    help="A Ray cluster: http://HEAD:8265 sends a job that outlives this terminal; auto or "
    "HOST:PORT drives the cluster from here; default: this machine.",
)
@click.option(
    "--rejudge",
    is_flag=True,
    help="Only say what other --limit values would keep of the documents in --out: in seconds, "
    "from their stored statistics. Changes nothing.",
)
@click.option(
    "--preview",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only judge N documents from all over the inputs, in seconds, and show what each rule "
    "drops. Writes nothing.",
)
@options.as_json
def filter_(
    inputs: tuple[str, ...],
    out: str | None,
    rejudge: bool,
    preview: int | None,
    as_json: bool,
    **job: Any,
) -> None:
    """Keep the documents of INPUT... (files, folders, patterns) that are worth reading.

    INPUT lies on this machine or elsewhere: s3://, gs://, hf://datasets/OWNER/NAME, https://.
    Formats go by extension: jsonl, Parquet, Arrow, text, HTML, WARC and WET, also as .gz and .zst.
    Run it again with another limit, and only what changed is done again.
    """
    from workflows import filtering

    limits = dict(_limit(text) for text in job["limits"])
    if preview is not None:
        _check_preview(inputs, rejudge)
        _preview(inputs, preview, _config(job, limits), job["workers"], as_json)
        return
    if out is None:
        raise click.MissingParameter(param_hint="'--out'", param_type="option")
    if rejudge:
        _rejudge(inputs, out, limits, as_json)
        return
    if not inputs:
        raise UsageError("nothing to filter: name files, folders or patterns before --out")
    _check_addresses(inputs)
    root = store_root(out)
    _check_apart(inputs, root)
    text = filtering.recipe_text(
        inputs,
        root,
        _config(job, limits),
        dedup=job["dedup"],
        workers=job["workers"],
        broken_files=job["broken_files"],
    )
    artifact = _run(text, root, job["address"], say=not as_json)
    if artifact is not None:
        _report(artifact, root, out, as_json)


def _check_preview(inputs: tuple[str, ...], rejudge: bool) -> None:
    if rejudge:
        raise UsageError(
            "--preview tries rules on a sample, --rejudge on all that was filtered: choose one"
        )
    if not inputs:
        raise UsageError("nothing to preview: name files, folders or patterns")
    _check_addresses(inputs)


def _preview(
    inputs: tuple[str, ...], documents: int, job: dict[str, Any], workers: int, as_json: bool
) -> None:
    from pydantic import ValidationError

    from pipelines.filter import FilterConfig
    from pipelines.source import SourceConfig
    from workflows.preview import as_json as to_json
    from workflows.preview import as_text, preview

    try:
        config, source = FilterConfig.model_validate(job), SourceConfig(paths=inputs)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"--{str(name).replace('_', '-')} " for name in first["loc"][:1])
        value = f" (found {first['input']!r})" if where else ""
        said = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"filter: {where}{said}{value}") from error
    found = preview(source, config, documents, Path.cwd())
    if as_json:
        click.echo(json.dumps(to_json(found), indent=1))
    else:
        click.echo(as_text(found, config, workers, lambda text: click.style(text, reverse=True)))


def _check_addresses(inputs: tuple[str, ...]) -> None:
    """Refuse what cannot be read before anything is written: an address may hold a credential."""
    from pipelines.remote.addresses import check_address, is_remote

    for path in filter(is_remote, inputs):
        try:
            check_address(path)
        except ValueError as error:
            raise UsageError(f"filter: {error}") from error


def _check_apart(inputs: tuple[str, ...], root: StorePath) -> None:
    """Refuse results among the inputs: the next run would read them, and this one its journal."""
    for path in inputs:
        folder = Path(path).expanduser().resolve()
        if isinstance(root, Path) and folder.is_dir() and root.is_relative_to(folder):
            raise UsageError(
                f"--out {root} lies within the input {path}, so results would be read as "
                "documents: choose a folder beside it"
            )


def _limit(text: str) -> tuple[str, float]:
    rule, equals, value = text.partition("=")
    try:
        return rule, float(value if equals else "")
    except ValueError:
        raise UsageError(
            f"--limit {text}: found no number after '='; write --limit gopher_short_doc=20"
        ) from None


def _config(job: dict[str, Any], limits: dict[str, float]) -> dict[str, Any]:
    config: dict[str, Any] = {
        "rules": [],
        "languages": _names(job["languages"]),
        "min_language_score": job["min_language_score"],
        "words": job["words"],
    }
    for name in _names(job["rules"]):
        if name.endswith((".yaml", ".yml")):
            own = _own_rules(Path(name))
            config["rules"] += own.include
            config["words"] = own.words
            config["custom"] = [
                *config.get("custom", ()),
                *(rule.model_dump(exclude_none=True) for rule in own.rules),
            ]
            limits = {**own.limits, **limits}
        else:
            config["rules"].append(name)
    return {**config, "limits": limits} if limits else config


def _own_rules(path: Path) -> "CustomRules":
    from filters.custom import read_file
    from filters.errors import FilterError

    try:
        return read_file(path)
    except FilterError as error:
        raise UsageError(str(error)) from error


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _run(text: str, root: StorePath, address: str | None, *, say: bool) -> "Artifact | None":
    """Write the recipe beside the results and carry it out as `llada run` does.

    None where the run was sent to a cluster and goes on without this terminal.
    """
    from workflows.cli.driving import drive
    from workflows.filtering import RECIPE, STAGE, filtered_in
    from workflows.jobs import is_job_server

    recipe = root / RECIPE
    write_bytes(recipe, text.encode())
    opened = options.open_recipe(recipe)
    if address is None or not is_job_server(address):
        return drive(recipe, opened, address, say=say)[STAGE]
    from workflows.cli.sending import follow, send

    job = send(recipe, opened, address, redacted(["llada", *sys.argv[1:]]))
    return filtered_in(root) if follow(job, say=say) else None


def _report(artifact: "Artifact", root: StorePath, out: str, as_json: bool) -> None:
    from workflows.report.facts import facts_of
    from workflows.report.page import page

    facts = facts_of(artifact)
    write_bytes(root / "report.html", page(facts).encode())
    ledger = artifact.manifest.ledger
    _tell(ledger.entered.rows, ledger.kept.rows, facts.shares, as_json)
    if not as_json:
        if not ledger.kept.rows:
            click.echo("no document is worth keeping by these rules: loosen one with --limit")
        click.echo(f"kept: {artifact.folder / 'data'}   dropped: {artifact.folder / 'rejects'}")
        click.echo(f"report: {out.rstrip('/')}/report.html")
        store = shlex.quote(out)
        click.echo(f"next: llada explain DOC_ID --store {store}   llada ui --store {store}")


def _rejudge(inputs: tuple[str, ...], out: str, limits: dict[str, float], as_json: bool) -> None:
    from workflows import filtering

    if inputs or not limits:
        raise UsageError(
            "--rejudge reads what lies in --out: leave the inputs away and give other limits, for "
            "example --limit gopher_short_doc=20"
        )
    given = click.get_current_context().get_parameter_source
    others = [name for name in _JOB if given(name) is ParameterSource.COMMANDLINE]
    if others:
        raise UsageError(
            f"--rejudge changes limits only, and --{others[0].replace('_', '-')} asks for another "
            "job: leave it away, or leave --rejudge away to run that job"
        )
    artifact = filtering.filtered_in(store_root(out))
    try:
        config = filtering.with_limits(artifact, limits)
    except ValueError as error:
        raise UsageError(f"--limit: {error}") from error
    kept, found = filtering.rejudged(artifact, config)
    _tell(artifact.manifest.ledger.entered.rows, kept, found, as_json)
    if not as_json:
        now = artifact.manifest.ledger.kept.rows
        click.echo(f"({kept - now:+,} against the {now:,} kept now; nothing was changed)")


def _tell(entered: int, kept: int, found: Any, as_json: bool) -> None:
    from workflows.filtering import breakdown

    if as_json:
        rules = [asdict(one) for one in found]
        click.echo(json.dumps({"documents": entered, "kept": kept, "rules": rules}, indent=1))
    else:
        click.echo("\n" + breakdown(entered, kept, found))
