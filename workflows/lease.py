"""An epoch lease: at most one run works on a stage, and a run that lost it finds out.

    <artifact>/_lease/e0003            who holds it: created by put-if-absent, never changed
                      e0003.beat       rewritten by its holder; how far it is stands in it
                      e0003.stop       someone asked the holder to finish what is in flight
                      e0003.released   the holder ended by itself

The highest epoch counts. It is free once released, once its process is known to be dead, or once
an observer has *watched* its beat for one time to live without seeing it change: no two clocks are
ever compared. Then epoch n + 1 is created; of several that try, put-if-absent picks one. The
lease saves work. Correctness is not its task: that is the manifest's, where the first commit wins.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines import storage
from pipelines.errors import StoreError
from pipelines.stopping import Stopped, StopSign
from pipelines.storage import StorePath
from workflows.errors import UsageError
from workflows.liveness import Process

_FOLDER = "_lease"


@dataclass(frozen=True)
class Times:
    """Seconds between beats, until a silent holder counts as gone, and between looks at it."""

    beat: float = 15.0
    to_live: float = 90.0
    look: float = 0.5

    @classmethod
    def from_environment(cls) -> "Times":
        """Return the times for LLADA_LEASE_TTL seconds to live, six beats in them; default 90.

        Raises:
            UsageError: the variable holds no number of at least one second.
        """
        found = os.environ.get("LLADA_LEASE_TTL", "90")
        try:
            seconds = float(found)
        except ValueError:
            seconds = 0.0
        if not 1 <= seconds < 1e6:
            raise UsageError(f"LLADA_LEASE_TTL: found {found!r}; allowed: seconds, at least 1")
        return cls(beat=seconds / 6, to_live=seconds)


class Holder(BaseModel):
    """Who holds an epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    run_id: str
    process: Process
    command: str = ""
    started: str = ""


class Beat(BaseModel):
    """A sign of life, and how far the holder is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    number: int
    progress: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Waiting:
    """What a run that waits for another knows of it."""

    holder: Holder | None
    progress: Mapping[str, Any]


@dataclass
class Lease:
    """A held epoch; beats until released. `lost` is set once a successor exists."""

    folder: StorePath
    epoch: int
    times: Times
    on_lost: Callable[[], None]
    progress: Mapping[str, Any] = field(default_factory=dict)
    lost: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def sign(self) -> StopSign:
        """What the workers of this epoch look at."""
        return StopSign(_file(self.folder, self.epoch, ".stop"), _file(self.folder, self.epoch + 1))

    def is_lost(self) -> bool:
        """Whether another run took over, also where no beat has noticed it yet."""
        return self.lost.is_set() or self.sign.successor.exists()

    def keep(self) -> None:
        """Beat from a thread of its own until released or lost."""
        threading.Thread(target=self._beat, name=f"lease-{self.epoch}", daemon=True).start()

    def ask_to_stop(self) -> None:
        """Tell the workers of this epoch to end after the unit in flight."""
        storage.put_if_absent(self.sign.asked, b"")

    def release(self) -> None:
        """End the epoch; the next run takes over at once."""
        self._ended.set()
        with suppress(StoreError):  # a full disk: the next run waits one time to live instead
            storage.put_if_absent(_file(self.folder, self.epoch, ".released"), b"")

    def _beat(self) -> None:
        number = 0
        while not self._ended.wait(self.times.beat):
            if self.sign.successor.exists():
                self.lost.set()
                self.on_lost()
                return
            number += 1
            with suppress(StoreError):  # silence is what a full disk looks like to the others
                beat = Beat(number=number, progress=self.progress)
                storage.write_bytes(
                    _file(self.folder, self.epoch, ".beat"), beat.model_dump_json().encode()
                )


def acquire(
    folder: StorePath,
    holder: Holder,
    times: Times,
    *,
    is_published: Callable[[], bool],
    on_lost: Callable[[], None] = lambda: None,
    waiting: Callable[[Waiting], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Lease | None:
    """Take the lease of an artifact's folder, waiting while another run works there.

    `on_lost` is called from the beating thread, once, when a successor is seen.

    Returns:
        The lease, or None where the other run published the artifact meanwhile.

    Raises:
        Stopped: `stop` was set while waiting.
        StoreError: the store cannot be written.
    """
    watch = _Watch(times.to_live)
    while not is_published():
        epoch = highest_epoch(folder)
        if epoch == 0 or _is_free(folder, epoch, watch):
            payload = holder.model_dump_json().encode()
            if storage.put_if_absent(_file(folder, epoch + 1), payload):
                lease = Lease(folder, epoch + 1, times, on_lost)
                lease.keep()
                return lease
            continue
        waiting(Waiting(holder_of(folder, epoch), _beat_of(folder, epoch).progress))
        if stop is None:
            time.sleep(times.look)
        elif stop.wait(times.look):
            raise Stopped("it was asked to stop while it waited for another run")
    return None


def current(folder: StorePath) -> tuple[int, Holder] | None:
    """Return the epoch and holder of a lease that was not given back, None where it is free."""
    epoch = highest_epoch(folder)
    if epoch == 0 or _file(folder, epoch, ".released").exists():
        return None
    holder = holder_of(folder, epoch)
    return None if holder is None or holder.process.is_known_dead() else (epoch, holder)


def ask_to_stop(folder: StorePath) -> bool:
    """Ask whoever holds the lease to finish what is in flight; False where no one does."""
    found = current(folder)
    if found is None:
        return False
    storage.put_if_absent(_file(folder, found[0], ".stop"), b"")
    return True


def highest_epoch(folder: StorePath) -> int:
    """Return the last epoch of a folder, 0 where there was none."""
    names = storage.children(folder / _FOLDER)
    return max((int(name[1:]) for name in names if name[1:].isdigit()), default=0)


def holder_of(folder: StorePath, epoch: int) -> Holder | None:
    """Return who holds an epoch; None where another version wrote it."""
    try:
        return Holder.model_validate_json(_file(folder, epoch).read_bytes())
    except (OSError, ValidationError):
        return None


class _Watch:
    """Notices silence: the beat of one epoch unchanged for one time to live on this clock."""

    def __init__(self, to_live: float) -> None:
        self._to_live = to_live
        self._seen: tuple[int, bytes] | None = None
        self._since = 0.0

    def is_silent(self, folder: StorePath, epoch: int) -> bool:
        now = time.monotonic()
        seen = (epoch, _read(_file(folder, epoch, ".beat")))
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since >= self._to_live


def _is_free(folder: StorePath, epoch: int, watch: _Watch) -> bool:
    if _file(folder, epoch, ".released").exists():
        return True
    holder = holder_of(folder, epoch)
    if holder is not None and holder.process.is_known_dead():
        return True
    return watch.is_silent(folder, epoch)


def _beat_of(folder: StorePath, epoch: int) -> Beat:
    with suppress(ValidationError, json.JSONDecodeError):
        return Beat.model_validate_json(_read(_file(folder, epoch, ".beat")) or b"{}")
    return Beat(number=0)


def _read(path: StorePath) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _file(folder: StorePath, epoch: int, suffix: str = "") -> StorePath:
    return folder / _FOLDER / f"e{epoch:04d}{suffix}"
