"""A training's checkpoints in the bucket of its store, so that another machine can go on.

Workers write to a local disk. While they train, a thread of the driver copies each complete
checkpoint to the store, `COMPLETE.json` last, with the run's record beside it; a training that
finds a newer one there than here brings it back first.
"""

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from llada.training.checkpoint import (
    COMPLETE,
    JOB,
    MARKS,
    complete_checkpoints,
    completed_so_far,
    defect,
    read_marks,
)
from llada.training.interventions import INTERVENTIONS
from llada.training.record import METRICS
from llada.training.retention import Checkpoint, RetentionConfig, kept
from pipelines import object_store, storage
from pipelines.errors import StoreError
from pipelines.storage import StorePath

LOOK_SECONDS = 1.0
_RECORDS = (METRICS, MARKS, INTERVENTIONS)
_BESIDE = (*_RECORDS, JOB)  # what a checkpoint alone does not say: of which model it is

logger = logging.getLogger(__name__)


@contextmanager
def mirrored(here: Path, there: StorePath, retention: RetentionConfig) -> Iterator[None]:
    """Keep `there` at the newest checkpoint of `here` while the block runs, and once after it.

    On a local disk both are one folder, and this does nothing.

    Raises:
        StoreError: the store cannot be read at the start.
    """
    if isinstance(there, Path):
        yield
        return
    bring_back(here, there)
    over = threading.Event()
    mirror = _Mirror(here, there, retention)

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            mirror.look()

    thread = threading.Thread(target=watch, name="checkpoint-mirror", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        mirror.look()


def bring_back(here: Path, there: StorePath) -> Path | None:
    """Fetch the newest intact checkpoint of the store unless one as new is here; return it.

    Raises:
        StoreError: the store cannot be read.
    """
    newest_here = max((c.step for c in complete_checkpoints(here)), default=0)
    for remote in in_store(there):
        if remote.step <= newest_here:
            return None
        arriving = here / f".arriving-{uuid4().hex[:8]}"
        try:
            _download(there / remote.folder.name, arriving)
            if found := defect(arriving, range(remote.world_size)):
                logger.warning("%s is passed over: %s", there / remote.folder.name, found)
                continue
            for name in _RECORDS:
                _append(arriving / name, here / name)
            arriving.rename(here / remote.folder.name)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        logger.info("checkpoint %s came from %s", remote.folder.name, there)
        return here / remote.folder.name
    return None


def in_store(there: StorePath) -> list[Checkpoint]:
    """Return the complete checkpoints of the store, newest first.

    Raises:
        StoreError: the store cannot be read.
    """
    names = [name for name in storage.children(there) if name.startswith("step-")]
    found = []
    if names:
        for path, content in storage.read_all(there / n / COMPLETE for n in names).items():
            claim: dict[str, Any] = json.loads(content)
            counts = (int(claim[key]) for key in ("step", "world_size", "tokens"))
            found.append(Checkpoint(Path(path.parent.name), *counts))
    return sorted(found, key=lambda c: c.step)[::-1]


class _Mirror:
    """Remembers what was copied; one thread at a time uses it."""

    def __init__(self, here: Path, there: StorePath, retention: RetentionConfig) -> None:
        self._here, self._there, self._retention = here, there, retention
        self._copied: dict[str, int] | None = None
        """Name and step of each that is in the store."""

    def look(self) -> None:
        """Copy the newest checkpoint, if it is not there yet; a fault is told, training goes on."""
        try:
            if self._copied is None:
                self._copied = {c.folder.name: c.step for c in in_store(self._there)}
            newest = next(iter(completed_so_far(self._here)), None)
            if newest is None:
                return
            if newest.folder.name not in self._copied:
                self._copy(newest.folder)
                self._copied[newest.folder.name] = newest.step
                self._prune(newest)
            elif max(self._copied.values()) > newest.step:  # a rollback
                self._prune(newest)
        except FileNotFoundError:
            logger.info("a checkpoint was deleted while it was copied; the next one follows")
        except StoreError as error:
            logger.warning("a checkpoint is here and not in the store: %s", error)

    def _copy(self, folder: Path) -> None:
        target = self._there / folder.name
        # The record is longer than the checkpoint needs by the time it is read: no harm, the
        # lines of steps that are computed again come later and count.
        for source in (*(self._here / name for name in _BESIDE), *sorted(folder.iterdir())):
            if source.name != COMPLETE and source.exists():
                _upload(source, target / source.name)
        storage.put_if_absent(target / COMPLETE, (folder / COMPLETE).read_bytes())

    def _prune(self, newest: Checkpoint) -> None:
        """Delete what retention lets go, what is half there, and what a rollback has rejected."""
        sound = [
            c
            for c in in_store(self._there)
            if c.step < newest.step or c.folder.name == newest.folder.name
        ]
        stay = {c.folder.name for c in kept(sound, read_marks(self._here), self._retention)}
        for name in storage.children(self._there):
            if name.startswith("step-") and name not in stay:
                files = storage.children(self._there / name)
                for file in sorted(files, key=lambda each: each != COMPLETE):
                    storage.delete(self._there / name / file)
        self._copied = {c.folder.name: c.step for c in sound if c.folder.name in stay}


def _upload(source: Path, target: StorePath) -> None:
    with storage.explained(target):
        object_store.upload(source, target)  # type: ignore[arg-type]  # never a local disk


def _download(source: StorePath, folder: Path) -> None:
    folder.mkdir(parents=True)
    with storage.explained(source):
        for name in storage.children(source):
            object_store.download(source / name, folder / name)  # type: ignore[arg-type]


def _append(source: Path, target: Path) -> None:
    """Add a record that came along to the one here: of a repeated step the last line counts."""
    if source.exists():
        with target.open("ab") as file:
            file.write(b"\n" + source.read_bytes())
        source.unlink()
