"""Whether the process that writes a journal still lives."""

import os
import socket
import time
from pathlib import Path

from workflows.journal import Event

_QUIET = 24 * 3600.0
"""Seconds without a word after which a writer on another host counts as gone."""
_CLOCK_SLACK = 2.0


def writer_is_gone(started: Event, last_written: float) -> bool:
    """Whether no one will write to a journal again.

    Args:
        started: Its `run_started`, with the writer's pid and host.
        last_written: When the journal was last written to, in seconds since the epoch.
    """
    if started.data.get("host") != socket.gethostname():
        return time.time() - last_written > _QUIET
    pid = int(started.data["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, as another user's
    born = _born(pid)
    return born is not None and born > started.time + _CLOCK_SLACK


def _born(pid: int) -> float | None:
    """Return when a process started, so that a pid in its second life is not taken for the first.

    None where the system does not say: only Linux has /proc.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        stat = Path("/proc/stat").read_text()
    except OSError:
        return None
    boot = next(float(line.split()[1]) for line in stat.splitlines() if line.startswith("btime "))
    return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
