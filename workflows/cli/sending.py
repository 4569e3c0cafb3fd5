"""A run sent to a cluster's job server: it outlives this terminal, which may follow it."""

from collections.abc import Sequence
from pathlib import Path

import click

from pipelines.storage import StorePath
from workflows import jobs
from workflows.cli.options import Opened
from workflows.cli.runs import follow_job
from workflows.runner import new_run_id


def send(
    recipe: StorePath, opened: Opened, address: str, command: str, arguments: Sequence[str] = ()
) -> jobs.Job:
    """Send a run as a job; `arguments` are those of `llada run` besides the recipe and the place.

    Raises:
        ClusterError: the job server does not answer, or refuses.
    """
    job = jobs.Job(new_run_id(), address)
    store = str(opened.planner.store)
    jobs.submit(job, recipe, arguments, store=store, base=Path.cwd(), command=command)
    click.echo(f"sent as {job.run_id} to {address}", err=True)
    return job


def follow(job: jobs.Job, *, detach: bool = False, say: bool = True) -> bool:
    """Wait for a job, or not; return whether it was followed to its end. `say`: what it prints.

    Raises:
        ClusterError: the job failed.
    """
    verbs = f"llada attach {job.run_id}, llada cancel {job.run_id}"
    if detach:
        click.echo(f"  {verbs}", err=True)
        return False
    try:
        follow_job(job, say=say)
    except KeyboardInterrupt:
        click.echo(f"\ndetached; the run goes on. {verbs}", err=True)
        return False
    return True
