"""The command line: `llada plan|run|status|show|lineage|explain|generate`; exit codes 0, 1, 2."""

import json
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import click

from pipelines.errors import PipelineError
from pipelines.storage import store_root
from workflows.errors import StageError, UsageError, WorkflowError

DEFAULT_STORE = "./artifacts"

_store = click.option(
    "--store", default=DEFAULT_STORE, show_default=True, help="Where the artifacts lie."
)
_recipe = click.argument("recipe", type=click.Path(path_type=Path))
_set = click.option(
    "--set", "settings", multiple=True, metavar="STAGE.KEY=VALUE", help="Change one config value."
)
_force = click.option("--force", default="", metavar="STAGE,...", help="Rebuild these stages.")
_until = click.option("--until", metavar="STAGE", help="Stop after this stage.")
_accept = click.option("--accept-drift", is_flag=True, help="Reuse what pinned code has outgrown.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="llada-pipeline")
def cli() -> None:
    """From raw documents to a talking masked-diffusion language model."""


@cli.command()
@_recipe
@_set
@_until
@_force
@_accept
@_json
def plan(recipe: Path, as_json: bool, **options: Any) -> None:
    """Say what a run of RECIPE would reuse and what it would run, and why. Changes nothing."""
    from workflows.summary import table

    loaded, planner = _open(recipe, **options)
    rows = [planned.as_json() for planned in planner.plan(loaded)]
    if as_json:
        click.echo(json.dumps({"stages": rows}, indent=1))
        return
    shown = [{"stage": row["name"], "action": row["verdict"], "why": row["why"]} for row in rows]
    click.echo(table(shown, ["stage", "action", "why"]))


@cli.command()
@_recipe
@_set
@_until
@_force
@_accept
@click.option("--address", metavar="RAY", help="Run on this Ray cluster instead of this machine.")
def run(recipe: Path, address: str | None, **options: Any) -> None:
    """Carry RECIPE out: reuse what is there, run the rest, end with a page to read."""
    from pipelines.executors import OnRay, stop_ray
    from workflows.runner import Runner
    from workflows.summary import page
    from workflows.terminal import Terminal
    from workflows.tracking import Tracking

    loaded, planner = _open(recipe, **options)
    tracking = Tracking(planner.store)
    runner = Runner(
        planner,
        OnRay(address),
        (Terminal(),),
        command=" ".join(["llada", *sys.argv[1:]]),
        after_event=tracking.follow,
    )
    interrupt = _Interrupt()
    try:
        with interrupt:
            result = runner.run(loaded)
    except (KeyboardInterrupt, Exception):
        if not interrupt.heard:
            raise
        raise WorkflowError(
            f"interrupted. Finished stages and shards are kept: run the same command again to go "
            f"on.\n  llada run {recipe}"
        ) from None
    finally:
        stop_ray()
    tracking.catch_up()
    artifacts = {done.stage.name: done.artifact for done in result.stages}
    click.echo(
        "\n"
        + page(
            artifacts,
            planner.store,
            recipe=loaded.name,
            run_id=result.run_id,
            tracking=tracking.describe(),
        )
    )
    click.echo(f"\n{_tally(result.stages)} in {result.seconds:.1f} s")
    if tracking.problem:
        click.echo(f"llada: {tracking.problem}", err=True)


class _Interrupt:
    """Remembers Ctrl-C: raised in the middle of an import, it can come out as any error."""

    def __init__(self) -> None:
        self.heard = False

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, self._hear)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = True
        signal.default_int_handler(number, frame)


def _tally(stages: Sequence[Any]) -> str:
    counts = {
        cache: sum(s.cache == cache for s in stages) for cache in ("ran", "resumed", "reused")
    }
    return ", ".join(f"{count} {cache}" for cache, count in counts.items() if count)


@cli.command()
@_recipe
@_json
def status(recipe: Path, as_json: bool) -> None:
    """Show how far each stage of RECIPE is: done, half done (with shards), or not begun."""
    from workflows.summary import table

    loaded, planner = _open(recipe)
    rows = []
    for planned in planner.plan(loaded):
        found = planned.artifact
        manifest = found.manifest if found else None
        rows.append(
            {
                "stage": planned.stage.name,
                "state": {"REUSE": "done", "RESUME": "half done"}.get(planned.verdict, "to do"),
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


@cli.command()
@click.argument("ref")
@_store
@_json
def show(ref: str, store: str, as_json: bool) -> None:
    """Show the manifest of REF: a stage's name, stage@digest, or an artifact's folder."""
    from workflows.artifact import resolve
    from workflows.summary import describe

    artifact = resolve(store_root(store), ref)
    if as_json:
        click.echo(artifact.manifest.model_dump_json(indent=1))
        return
    click.echo(describe(artifact))


@cli.command()
@click.argument("ref")
@_store
def lineage(ref: str, store: str) -> None:
    """Draw the tree behind REF, from a checkpoint back to the source files."""
    from workflows.artifact import resolve
    from workflows.trace import tree

    root = store_root(store)
    click.echo(tree(resolve(root, ref), root))


@cli.command()
@click.argument("doc_id")
@_store
@_json
def explain(doc_id: str, store: str, as_json: bool) -> None:
    """Tell what each stage did with DOC_ID: kept, or dropped by which rule, value and limit."""
    from workflows.trace import explain as explained
    from workflows.trace import way_of

    steps = way_of(doc_id, store_root(store))
    if as_json:
        rows = [
            {"stage": s.artifact.manifest.name, "artifact": s.artifact.folder.name, "kept": s.kept}
            | ({} if s.kept else {k: s.row.get(k) for k in ("rule", "feature", "value", "limit")})
            for s in steps
        ]
        click.echo(json.dumps({"doc_id": doc_id, "stages": rows}, indent=1))
        return
    click.echo(explained(steps))


@cli.command()
@click.option("--prompt", required=True, help="The beginning (or, with --chat, the question).")
@click.option("--model", "ref", default=None, metavar="REF", help="A model; default: the newest.")
@click.option("--chat", is_flag=True, help="Ask in the chat form that SFT taught.")
@click.option("--length", default=64, show_default=True, help="Tokens to sample.")
@click.option("--steps", default=64, show_default=True, help="Denoising steps.")
@click.option(
    "--block", default=32, show_default=True, help="Tokens a block; blocks go left to right."
)
@click.option("--temperature", default=0.0, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Fixes the text at temperature > 0.")
@_store
def generate(prompt: str, ref: str | None, chat: bool, store: str, **options: Any) -> None:
    """Sample text from a trained model by low-confidence remasking."""
    from workflows.sampling import answer

    click.echo(answer(store_root(store), ref, prompt, chat=chat, **options))


def _open(
    recipe: Path,
    settings: Sequence[str] = (),
    until: str | None = None,
    force: str = "",
    accept_drift: bool = False,
) -> tuple[Any, Any]:
    from workflows.plan import Planner
    from workflows.recipe import load_recipe

    loaded = load_recipe(recipe, _settings(settings))
    if until:
        loaded = loaded.until(until)
    forced = frozenset(name.strip() for name in force.split(",") if name.strip())
    for name in forced:
        loaded.stage(name)
    store = store_root(loaded.store)
    return loaded, Planner(store, Path.cwd(), force=forced, accept_drift=accept_drift)


def _settings(settings: Sequence[str]) -> dict[str, str]:
    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: found no '='; write --set STAGE.KEY=VALUE")
        parsed[key] = value
    return parsed


def main() -> None:
    """Run the command line; people get sentences, our own bugs get a traceback."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(_complain("interrupted", 1))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except StageError as error:
        if error.details:
            print(error.details.rstrip(), file=sys.stderr)  # noqa: T201
        sys.exit(_complain(f"stage '{error.stage}' failed: {error}", 1))
    except WorkflowError as error:
        sys.exit(_complain(str(error), error.exit_code))
    except (PipelineError, ValueError) as error:
        sys.exit(_complain(str(error), 1))
    except KeyboardInterrupt:
        sys.exit(_complain("interrupted", 1))
    except BrokenPipeError:
        sys.exit(1)
    except Exception:  # noqa: BLE001  the process edge: our own bug, shown whole
        traceback.print_exc()
        sys.exit(_complain("this is a bug in llada: please report it with the lines above", 1))


def _complain(message: str, code: int) -> int:
    print(f"llada: {message}", file=sys.stderr)  # noqa: T201
    return code
