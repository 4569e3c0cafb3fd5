"""Starts the mirror as a process of its own, so that MLflow costs a run nothing."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import workflows
from pipelines.storage import StorePath
from workflows.tracking.progress import LOG, local_runs

EXIT_CODES: Mapping[str, int] = {"done": 0, "left": 1, "busy": 75}
"""How a mirror process ends -> its exit code."""

_LOG_LIMIT = 1 << 20


def start_mirror(store: StorePath, run: str) -> subprocess.Popen[bytes]:
    """Start mirroring a store, the given run first; Ctrl-C at the terminal does not reach it.

    Raises:
        OSError: this machine starts no process, or the store takes no log.
    """
    log = local_runs(store) / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    full = log.is_file() and log.stat().st_size > _LOG_LIMIT
    with log.open("wb" if full else "ab") as output:
        return subprocess.Popen(
            # -P: a folder `workflows` where the user stands is not to be taken for ours.
            [sys.executable, "-P", "-m", "workflows.tracking", str(store), f"--run={run}"],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _environment() -> dict[str, str]:
    ours = str(Path(str(workflows.__file__)).parent.parent)
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([ours, others] if others else [ours])}
