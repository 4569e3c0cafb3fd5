"""A run driven from this process: its listeners, its Ctrl-C, its end."""

import shlex
import signal
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from pipelines import side_threads
from pipelines.storage import StorePath
from workflows.cli import options
from workflows.errors import InterruptedRun

if TYPE_CHECKING:
    from workflows.artifact import Artifact
    from workflows.runner import Runner
    from workflows.terminal import Terminal


def drive(
    recipe: StorePath,
    opened: options.Opened,
    address: str | None,
    *,
    command: str = "",
    keep_going: bool = False,
    run_id: str | None = None,
    say: bool = True,
) -> "Mapping[str, Artifact]":
    """Run the stages from this process, on Ray here or on a cluster; return what they made.

    `say`: print the page of the run to standard output.
    """
    from pipelines.executors import OnRay
    from pipelines.ray_node import stop_ray
    from workflows.journal import runs_folder
    from workflows.lease import Times
    from workflows.runner import LOG, Runner, new_run_id
    from workflows.summary import page
    from workflows.terminal import Terminal
    from workflows.tracking.follow import Tracking

    store = opened.planner.store
    terminal = Terminal()
    run_id = run_id or new_run_id()
    # Of `llada filter` the recipe that it wrote, which goes on as well.
    again = command or f"llada run {shlex.quote(str(recipe))}"
    log = Terminal.into(runs_folder(store) / run_id / LOG)
    tracking = Tracking(store, run_id)
    runner = Runner(
        opened.planner,
        OnRay(address),
        (terminal, log, tracking),
        run_id=run_id,
        command=again,
        only=opened.only,
        keep_going=keep_going,
        times=Times.from_environment(),
    )
    interrupted = (
        f"interrupted. Finished stages and shards are kept: run the same command again to go on."
        f"\n  {again}"
    )
    interrupt = _Interrupt(runner, terminal, interrupted)
    with interrupt:
        try:
            result = runner.run(opened.recipe)
        except (KeyboardInterrupt, Exception):
            if not interrupt.heard:
                raise
            raise InterruptedRun(interrupted) from None
        finally:
            interrupt.clears_away = True
            tracking.ended()
            stop_ray()
    artifacts = {done.stage.name: done.artifact for done in result.stages}
    if say:
        facts = {"recipe": opened.recipe.name, "run_id": result.run_id}
        click.echo("\n" + page(artifacts, store, **facts, tracking=tracking.describe()))
        click.echo(f"\n{_tally(result.stages)} in {result.seconds:.1f} s")
    told = tracking.settle(result.seconds)
    click.echo(told, err=not say)
    return artifacts


class _Interrupt:
    """Ctrl-C: the first lets what is in flight end, the second cancels.

    It is remembered, because raised in the middle of an import it can come out as any error. While
    the run clears away it raises nothing: Ray, half shut down, can crash a process that goes on.
    """

    def __init__(self, runner: "Runner", terminal: "Terminal", last_words: str) -> None:
        self._runner, self._terminal, self._last_words = runner, terminal, last_words
        self.heard = False
        self.clears_away = False

    def __enter__(self) -> None:
        self._before = {
            number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)
        }

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        again, self.heard = self.heard, True
        if self.clears_away:
            self._terminal.say(f"llada: {self._last_words}")
            side_threads.leave_at_once(1)
        if again or not self._runner.is_working:
            signal.default_int_handler(number, frame)
        self._runner.finish_soon()
        self._terminal.say("finishing the shards in flight; Ctrl-C again to cancel them")


def _tally(stages: Sequence[Any]) -> str:
    counts = {
        cache: sum(s.cache == cache for s in stages) for cache in ("ran", "resumed", "reused")
    }
    return ", ".join(f"{count} {cache}" for cache, count in counts.items() if count)
