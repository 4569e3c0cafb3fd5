"""A run as a Ray job: submitted to a cluster's job server, it outlives the terminal that sent it.

What is sent is a folder: this project's packages, the recipe, and the arguments as JSON. The job's
command is the same few words for every run, so nothing that anyone typed ever meets a shell.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from pipelines import storage
from pipelines.storage import StorePath
from workflows.code.closure import PACKAGES
from workflows.environment import PROJECT
from workflows.errors import ClusterError, RefError
from workflows.journal import runs_folder

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

RECORD = "job.json"
ARGUMENTS = "arguments.json"
_COMMAND = "python -m workflows.job_main"
_POLL = 0.5
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


class Job(NamedTuple):
    """Where a run was sent; written beside its journal."""

    run_id: str
    address: str


def is_job_server(address: str | None) -> bool:
    """Whether an address names a cluster's job server rather than Ray itself."""
    return bool(address) and urlsplit(str(address)).scheme in ("http", "https")


def submit(
    job: Job, recipe: StorePath, arguments: Sequence[str], *, store: str, base: Path, command: str
) -> None:
    """Send a run to a cluster and note where it went.

    Args:
        job: The run's id, and the job server's address ("http://head:8265").
        recipe: The recipe file; a copy is sent.
        arguments: What `llada run` was told besides recipe and address.
        store: The store as the run will see it.
        base: The folder that relative paths of the recipe mean, where the cluster can reach it.
        command: What was typed, for the run's records.

    Raises:
        ClusterError: the job server does not answer, or refuses.
    """
    with tempfile.TemporaryDirectory(prefix="llada-job-") as scratch:
        folder = Path(scratch)
        for package in (*PACKAGES, "infra"):
            shutil.copytree(
                PROJECT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
            )
        (folder / "recipe.yaml").write_bytes(recipe.read_bytes())
        told = {"run_id": job.run_id, "arguments": [*arguments], "command": command}
        (folder / ARGUMENTS).write_text(json.dumps({**told, "base": str(base), "store": store}))
        with _explained(job.address):
            _client(job.address).submit_job(
                entrypoint=_COMMAND,
                submission_id=job.run_id,
                runtime_env={"working_dir": str(folder)},
                metadata={"recipe": recipe.stem},
            )
    storage.write_bytes(
        runs_folder(storage.store_root(store)) / job.run_id / RECORD,
        json.dumps(job._asdict()).encode(),
    )


def find(store: StorePath, run_id: str, address: str | None) -> Job | None:
    """Return where a run was sent, None where it ran on this machine.

    `address` wins: a store that the terminal cannot reach keeps its records to itself.
    """
    if address is not None:
        return Job(run_id, address)
    try:
        return Job(**json.loads((runs_folder(store) / run_id / RECORD).read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise RefError(f"{runs_folder(store) / run_id / RECORD} is damaged: {error}") from error


def status(job: Job) -> str:
    """Return PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    with _explained(job.address):
        return str(_client(job.address).get_job_status(job.run_id).value)


def logs(job: Job) -> str:
    """Return what a run has printed so far."""
    with _explained(job.address):
        return str(_client(job.address).get_job_logs(job.run_id))


def follow(job: Job) -> Iterator[str]:
    """Yield what a run prints, from its beginning until it ended."""
    seen = 0
    while True:
        ended = status(job) in _ENDED
        text = logs(job)
        if len(text) > seen:
            yield text[seen:]
            seen = len(text)
        if ended:
            return
        time.sleep(_POLL)


def stop(job: Job) -> None:
    """End a run's process on the cluster at once; finished shards are kept."""
    with _explained(job.address):
        _client(job.address).stop_job(job.run_id)


def _client(address: str) -> "JobSubmissionClient":
    import logging
    import os

    # Ray's servers ask for a token by default, its clients send one only when told to.
    token = Path("~/.ray/auth_token").expanduser()
    if token.is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    from ray.job_submission import JobSubmissionClient

    for name in ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return JobSubmissionClient(address)


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn what the job client raises into a sentence with a way out."""
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:  # `requests` raises OSErrors
        line = next((one for one in str(error).splitlines() if one.strip()), repr(error))
        raise ClusterError(
            f"the cluster at {address} did not take the request: {line}. Its job server is the "
            "dashboard's address, http://HEAD:8265; where it asks for a token, set "
            "RAY_AUTH_MODE=token and put the cluster's token into ~/.ray/auth_token."
        ) from error


def print_chunk(text: str) -> None:
    """Write a piece of a job's output as it is."""
    sys.stdout.write(text)
    sys.stdout.flush()
