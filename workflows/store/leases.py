"""Who works in a folder right now, and how `llada gc` takes its turn there.

    <folder>/e0003            who holds it, as JSON: created by put-if-absent, never changed
             e0003.<sign>     any sign of life, rewritten every 15 s
             e0003.released   the holder ended by itself

The highest epoch counts. It is live while it is not released and either a file of it changed in
the last ten minutes or its process lives on this machine. A folder is `<artifact>/_lease`, or
`<store>/_gc.lock` for the one gc at a time.
"""

import json
import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines import storage
from workflows import lease
from workflows.artifact import now
from workflows.liveness import Process

QUIET = 600.0
"""Seconds without a sign after which a holder on another machine counts as gone."""
_BEAT = 15.0


@dataclass(frozen=True)
class Holder:
    """Who holds a lease."""

    run_id: str
    words: str

    @property
    def is_gc(self) -> bool:
        """Whether it is held to remove the folder, not to build in it."""
        return self.run_id.startswith("gc-")

    def __str__(self) -> str:
        return self.words


@dataclass
class Claim:
    """An epoch that this process holds."""

    folder: Path
    epoch: int
    _beaten: float = field(default_factory=time.monotonic)

    def is_held(self) -> bool:
        """Whether no one took over; gives a sign of life when one is due."""
        if _file(self.folder, self.epoch + 1).exists():
            return False
        if time.monotonic() - self._beaten >= _BEAT:
            self._beaten = time.monotonic()
            beat = json.dumps({"number": int(self._beaten), "progress": {}}).encode()
            storage.write_bytes(_file(self.folder, self.epoch, ".beat"), beat)
        return True

    def store_time(self) -> float:
        """Return when the epoch was created by the store's clock: what file times compare with."""
        return _file(self.folder, self.epoch).stat().st_mtime

    def release(self) -> None:
        """End the epoch; the next one may begin at once."""
        storage.put_if_absent(_file(self.folder, self.epoch, ".released"), b"")

    def erase(self) -> None:
        """Remove every file of the lease, this epoch's last; then the folder if it is empty."""
        own = f"e{self.epoch:04d}"
        if _file(self.folder, self.epoch + 1).exists():
            return
        for path in sorted(self.folder.iterdir(), key=lambda path: path.name == own):
            number = path.name[1:].partition(".")[0]
            if not number.isdigit() or int(number) <= self.epoch:
                path.unlink(missing_ok=True)
        with suppress(OSError):  # a run took the next epoch a moment ago: the folder is its own
            self.folder.rmdir()


def claim(folder: Path, at: float) -> Claim | None:
    """Take the next epoch of a lease folder, None where its holder lives or another was first.

    `at` is the time by the store's clock. Raises StoreError where the store cannot be written.
    """
    if holder(folder, at) is not None:
        return None
    epoch = _highest(folder) + 1
    who = lease.Holder(
        run_id=f"gc-{secrets.token_hex(3)}",
        process=Process.this(),
        command="llada gc",
        started=now(),
    )
    payload = who.model_dump_json().encode()
    return Claim(folder, epoch) if storage.put_if_absent(_file(folder, epoch), payload) else None


def holder(folder: Path, at: float) -> Holder | None:
    """Return who holds a lease folder; None where it is free or its holder is gone."""
    epoch = _highest(folder)
    if epoch == 0 or _file(folder, epoch, ".released").exists():
        return None
    who = _who(_file(folder, epoch))
    process = who.get("process")
    process = process if isinstance(process, dict) else who
    sign = _last_sign(folder, epoch)
    if at - sign > QUIET and not _lives_here(process):
        return None
    run_id, pid = str(who.get("run_id", "?")), process.get("pid", "?")
    host = process.get("host", "another machine")
    return Holder(run_id, f"run {run_id}, process {pid} on {host}")


def _who(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _last_sign(folder: Path, epoch: int) -> float:
    name, times = f"e{epoch:04d}", [0.0]
    for path in folder.iterdir():
        if path.name.partition(".")[0] == name:
            with suppress(FileNotFoundError):
                times.append(path.stat().st_mtime)
    return max(times)


def _lives_here(process: dict[str, Any]) -> bool:
    pid = process.get("pid")
    if process.get("host") != socket.gethostname() or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    born = process.get("born")
    return born is None or born == _start_ticks(pid)


def _start_ticks(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _highest(folder: Path) -> int:
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return max((int(name[1:]) for name in names if name[:1] == "e" and name[1:].isdigit()),
               default=0)  # fmt: skip


def _file(folder: Path, epoch: int, suffix: str = "") -> Path:
    return folder / f"e{epoch:04d}{suffix}"
