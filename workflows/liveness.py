"""Whether a process still lives: the writer of a journal, the holder of a lease."""

import os
import socket
import time
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from workflows.journal import Event

_QUIET = 24 * 3600.0
"""Seconds without a word after which a writer on another host counts as gone."""
_CLOCK_SLACK = 2.0


class Process(BaseModel):
    """A process that can be told from every other: of another host, boot, container or time."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    host: str
    machine: str
    """The boot and the pid namespace; empty where the system does not say."""
    pid: int
    born: int | None
    """Clock ticks from boot to its start, so that a pid's second life is not its first."""

    @classmethod
    def this(cls) -> "Process":
        """Return the process that asks."""
        pid = os.getpid()
        return cls(host=socket.gethostname(), machine=_machine(), pid=pid, born=_start_ticks(pid))

    def is_known_dead(self) -> bool:
        """Whether it certainly ended; False where only waiting can tell (another machine)."""
        here = self.host == socket.gethostname() and self.machine == _machine() != ""
        if not here:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False  # it lives, as another user's
        return self.born is not None and _start_ticks(self.pid) != self.born


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def writer_is_gone(started: Event, last_written: float) -> bool:
    """Whether no one will write to a journal again.

    Args:
        started: Its `run_started`, with the writer's pid and host.
        last_written: When the journal was last written to, in seconds since the epoch.
    """
    if not runs_here(started):
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


def runs_here(started: Event) -> bool:
    """Return whether the process that wrote a `run_started` is, or was, one of this machine."""
    return bool(started.data.get("host") == socket.gethostname())


def _born(pid: int) -> float | None:
    """Return when a process started, in seconds since the epoch; only Linux has /proc."""
    ticks = _start_ticks(pid)
    if ticks is None:
        return None
    stat = Path("/proc/stat").read_text()
    boot = next(float(line.split()[1]) for line in stat.splitlines() if line.startswith("btime "))
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def _start_ticks(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
