"""Which process of a run to kill: the driver, one of Ray's workers, Ray's node, or everything."""

import os
import random
import signal
import subprocess

import psutil

VICTIMS = ("driver", "worker", "node", "everything")


def strike(run: subprocess.Popen[bytes], victim: str, rng: random.Random) -> bool:
    """Send SIGKILL to the victim; False where the run had ended or had no such process."""
    if run.poll() is not None:
        return False
    if victim == "driver":
        os.kill(run.pid, signal.SIGKILL)
        return True
    family = psutil.Process(run.pid).children(recursive=True)
    if victim == "everything":
        for process in (psutil.Process(run.pid), *family):
            _end(process)
        return True
    chosen = _nodes(family) if victim == "node" else _workers(family)
    return _end(rng.choice(chosen)) if chosen else False


def _nodes(family: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in family if "raylet/raylet" in "".join(_command(process)[:1])]


def _workers(family: list[psutil.Process]) -> list[psutil.Process]:
    """Ray's workers and actors; its agents are a part of the node, which ends with them."""
    titles = {process: "".join(_command(process)[:1]) for process in family}
    return [p for p, title in titles.items() if title.startswith("ray::") and "Agent" not in title]


def _end(process: psutil.Process) -> bool:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
