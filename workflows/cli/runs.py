"""The verbs of a run under way: attach, logs, cancel."""

import os
import signal
import time

import click

from pipelines import storage
from pipelines.storage import StorePath, store_root
from workflows import jobs
from workflows.cli import options
from workflows.conductor import CANCEL
from workflows.errors import ClusterError, RefError
from workflows.journal import Event, Journal, runs_folder
from workflows.lineage.runs import find_run
from workflows.liveness import writer_is_gone
from workflows.runner import LOG

_POLL = 0.5

_run = click.argument("run", metavar="RUN")
_address = click.option(
    "--address", metavar="URL", help="The job server, where the store does not say."
)


@click.command()
@_run
@options.store
@_address
def attach(run: str, store: str, address: str | None) -> None:
    """Follow RUN (its id, or 'last') until it ends; Ctrl-C leaves it alone."""
    root = store_root(store)
    run_id = _resolve(root, run, address)
    job = jobs.find(root, run_id, address)
    try:
        if job is not None:
            follow_job(job)
        else:
            _follow_log(runs_folder(root) / run_id)
    except KeyboardInterrupt:
        click.echo(f"\ndetached; {run_id} goes on. llada attach {run_id}", err=True)


@click.command()
@_run
@options.store
@_address
def logs(run: str, store: str, address: str | None) -> None:
    """Print what RUN (its id, or 'last') has said so far."""
    root = store_root(store)
    run_id = _resolve(root, run, address)
    job = jobs.find(root, run_id, address)
    click.echo(jobs.logs(job) if job else _log(runs_folder(root) / run_id), nl=False)


@click.command()
@_run
@options.store
@_address
@click.option("--now", is_flag=True, help="Do not wait for the shards in flight.")
def cancel(run: str, store: str, address: str | None, now: bool) -> None:
    """End RUN (its id, or 'last'): after the shards in flight, or at once with --now."""
    root = store_root(store)
    run_id = _resolve(root, run, address)
    folder = runs_folder(root) / run_id
    job = jobs.find(root, run_id, address)
    if job is None and _has_ended(folder):
        raise RefError(f"run {run_id} has ended already; there is nothing to cancel.")
    storage.put_if_absent(folder / CANCEL, b"")
    if not now:
        click.echo(f"{run_id} ends after the shards in flight. llada attach {run_id}")
        return
    if job is not None:
        jobs.stop(job)
    else:
        _interrupt_twice(folder)
    click.echo(f"{run_id} was cancelled; finished shards are kept")


def follow_job(job: jobs.Job, *, say: bool = True) -> None:
    """Print what a job prints (`say`) until it ends; raises ClusterError where it failed."""
    for text in jobs.follow(job):
        if say:
            jobs.print_chunk(text)
    ended = jobs.status(job)
    if ended != "SUCCEEDED":
        raise ClusterError(
            f"run {job.run_id} {ended.lower()} on {job.address}. Finished stages and shards are "
            "kept: run the same command again to go on."
        )


def _resolve(root: StorePath, run: str, address: str | None) -> str:
    """Return a run's id from its id, a unique beginning of it, 'last' or 'last~1'."""
    sent = [path.parent for path in runs_folder(root).glob(f"*/{jobs.RECORD}")]
    waiting = [folder.name for folder in sent if not Journal(folder).size()]
    if run == "last" and waiting:  # sent, and not begun yet
        return max(waiting)
    found = find_run(root, run)
    if found is not None:
        return found.folder.name
    if address is not None or (runs_folder(root) / run).is_dir():
        return run  # a job that has not begun to write, or whose store is out of reach
    raise RefError(
        f"no run of {root} is called {run!r}. Their ids are folders of {root / '_runs'}."
    )


def _log(folder: StorePath) -> str:
    try:
        return (folder / LOG).read_text(errors="replace")
    except FileNotFoundError as error:
        raise RefError(f"{folder.name} left no log in {folder}.") from error


def _follow_log(folder: StorePath) -> None:
    seen = 0
    while True:
        ended = _has_ended(folder)
        text = _log(folder)
        click.echo(text[seen:], nl=False)
        seen = len(text)
        if ended:
            return
        time.sleep(_POLL)


def _milestones(folder: StorePath) -> list[Event]:
    return list(Journal(folder).milestones())


def _has_ended(folder: StorePath) -> bool:
    events = _milestones(folder)
    if not events:
        return False
    if events[-1].kind == "run_finished":
        return True
    return writer_is_gone(events[0], Journal(folder).last_written())


def _interrupt_twice(folder: StorePath) -> None:
    started = _milestones(folder)[0].data
    if started.get("host") != os.uname().nodename:
        raise RefError(
            f"{folder.name} runs on {started.get('host')}: it was asked to end after the shards in "
            "flight; to cancel it at once, run this command there."
        )
    for _ in range(2):
        os.kill(int(started["pid"]), signal.SIGINT)
        time.sleep(_POLL)
