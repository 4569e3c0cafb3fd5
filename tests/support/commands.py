"""Run the real command line in a process of its own, as a user would."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def llada(
    *arguments: str | Path, cwd: Path, check: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `check` is the exit code it must have (None: any)."""
    done = subprocess.run(
        [sys.executable, "-m", "workflows", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if check is not None:
        assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def start(*arguments: str | Path, cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, so that it can be killed whole."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "workflows", *map(str, arguments)],
            cwd=cwd, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=hear_interrupts,
        )  # fmt: skip


def hear_interrupts() -> None:
    """Undo what a shell does to background jobs: they inherit a SIGINT that is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_until(ready: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a condition while the process lives; a process that ends first is an error."""
    deadline = time.monotonic() + 300
    while not ready():
        assert process.poll() is None, f"ended with {process.returncode}:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"not ready in time:\n{log.read_text()}"
        time.sleep(0.05)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL to the driver alone, as the kernel's OOM killer would."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def interrupt(process: subprocess.Popen[bytes]) -> int:
    """Send what Ctrl-C sends, to the whole foreground group; return the exit code."""
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(timeout=120)
