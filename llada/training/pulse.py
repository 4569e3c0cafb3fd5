"""Signs of life of each rank: a frozen process, unlike a dead one, breaks no connection.

Every rank's process rewrites a small file each second, from a thread, so a long step or a slow
start does not look like a stop. The driver compares what it reads by its own clock: clocks of
several machines need not agree.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

BEAT_SECONDS = 1.0
WITHOUT_PROGRESS = 60.0
"""Beating but without a finished step for so many times the limit counts as standing still, too."""

logger = logging.getLogger(__name__)


class Beat(BaseModel):
    """The last sign of life of one rank."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int
    pid: int
    born: float
    """When the process began, by its machine's clock: a process id is given out again."""
    node: str
    """What its machine is called by who can act there."""
    room: str = ""
    """What was reserved for the group, which whoever ends it must give back; "" of nothing."""
    count: int


class Pulse:
    """Writes the beats of this process into `folder` while the `with` block runs."""

    def __init__(self, folder: Path, rank: int, node: str, room: str = "") -> None:
        """Beat for `rank`; `node` and `room` are passed on as they are."""
        self._path, self._over = folder / f"{rank}.json", threading.Event()
        self._beat = Beat(
            rank=rank,
            pid=os.getpid(),
            born=psutil.Process().create_time(),
            node=node,
            room=room,
            count=0,
        )
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; the file goes, as nobody shall wait for its next change."""
        self._over.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        draft = self._path.with_suffix(".draft")
        while not self._over.is_set():
            self._beat = self._beat.model_copy(update={"count": self._beat.count + 1})
            try:
                draft.write_text(self._beat.model_dump_json())
                draft.replace(self._path)
            except OSError as error:  # a full disk stops checkpoints, which say so; not this
                logger.warning("no sign of life could be written: %s", error)
            self._over.wait(BEAT_SECONDS)


class Watch:
    """Reads the beats of a run's ranks and names those that have stopped, each once."""

    def __init__(
        self,
        folder: Path,
        progress: Path,
        limit_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch the files in `folder`; `progress` is a file that grows with every step."""
        self._folder, self._progress, self._limit, self._clock = folder, progress, limit_s, clock
        self._changed: dict[str, tuple[Beat, float]] = {}
        self._told: set[Beat] = set()
        self._size, self._grown = -1, clock()

    def still(self) -> list[Beat]:
        """Return the ranks whose last beat is `limit_s` old; all, if no step ends for long."""
        now = self._clock()
        beats = self._by_name()
        self._changed = {
            name: self._changed[name]
            if name in self._changed and self._changed[name][0] == beat
            else (beat, now)
            for name, beat in beats.items()
        }
        found = [beat for beat, since in self._changed.values() if now - since > self._limit]
        if now - self._last_growth(now) > WITHOUT_PROGRESS * self._limit:
            found, self._grown = list(beats.values()), now
        new = [beat for beat in found if beat not in self._told]
        self._told.update(new)
        return new

    def beats(self) -> list[Beat]:
        """Return the last beat of each rank, whether it still runs or not."""
        return list(self._by_name().values())

    def _last_growth(self, now: float) -> float:
        size = self._progress.stat().st_size if self._progress.exists() else 0
        if size != self._size:
            self._size, self._grown = size, now
        return self._grown

    def _by_name(self) -> dict[str, Beat]:
        beats = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                beats[path.name] = Beat.model_validate_json(path.read_bytes())
            except (OSError, ValidationError):
                continue  # gone meanwhile
        return beats


def kill(beat: Beat) -> bool:
    """End the process of a beat, on its machine, unless it has ended; return whether it ran."""
    try:
        process = psutil.Process(beat.pid)
        if process.create_time() != beat.born:
            return False
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True
