"""Content hashes of source files, remembered between plans so that a plan need not read a corpus.

A hash is remembered for a path with its size and its times of change. One taken less than two
seconds after the file changed is not: another write could follow within one tick of the clock.
Files that are not remembered are read by a few threads, which tell how far they are; what they
have read is remembered also where they are cut short.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import NamedTuple

import pydantic_core

from pipelines import storage
from pipelines.errors import InputError, StoreError
from pipelines.workspace import Progress

FILE = "source-hashes.json"
_RACY_NS = 2_000_000_000
_READERS = 4
_AT_ONCE = 1_000
"""Files handed to the readers; and no more of them are begun after one that cannot be read."""
_LOOK = 0.2
_SAVE_SECONDS = 60.0


class Stamp(NamedTuple):
    """What tells that a file is as it was when it was hashed."""

    bytes: int
    changed_ns: int
    status_changed_ns: int


class _GivenUpError(Exception):
    """Another file could not be read, or the user does not want to wait."""


class SourceHashes:
    """Hashes files, asking the memory in `folder` first; without a folder it only hashes."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = folder / FILE if folder is not None else None
        self._known = _load(self._path) if self._path is not None else {}
        self._learned: dict[str, list[int | str]] = {}
        self._racy: dict[str, list[int | str]] = {}
        self._saved = 0

    def read_all(
        self, files: Mapping[str, os.stat_result], on_progress: Callable[[Progress], None]
    ) -> None:
        """Hash the files that are not remembered, so that `of` need not; raises what it does."""
        todo = [path for path in files if self._recall(path, _stamp(files[path])) is None]
        read, total = 0, sum(files[path].st_size for path in todo)
        given_up = Event()

        def count(size: int) -> None:
            nonlocal read  # of several threads: what is lost of it costs a digit of the display
            read += size
            if given_up.is_set():
                raise _GivenUpError

        with ThreadPoolExecutor(_READERS, "source-hashes") as pool:
            try:
                for at in range(0, len(todo), _AT_ONCE):
                    some = todo[at : at + _AT_ONCE]
                    hashed = [pool.submit(self.of, path, files[path], count) for path in some]
                    self._await(hashed, lambda: on_progress(_progress(read, total)))
            except BaseException:
                given_up.set()
                pool.shutdown(cancel_futures=True)
                raise
            finally:
                self.save()
        if todo:
            on_progress(_progress(total, total))

    def _await(self, hashed: list[Future[str]], look: Callable[[], None]) -> None:
        saved, pending = time.monotonic(), set(hashed)
        while pending:
            done, pending = wait(pending, _LOOK, FIRST_EXCEPTION)
            for future in done:
                future.result()
            if pending:
                look()
            if time.monotonic() - saved > _SAVE_SECONDS:
                self.save()
                saved = time.monotonic()

    def of(
        self, path: str, status: os.stat_result, on_bytes: Callable[[int], None] | None = None
    ) -> str:
        """Return the xxh3-128 of a file whose status was just read; InputError if unreadable."""

        def read() -> str:
            try:
                return storage.hash_file(Path(path), on_bytes)
            except OSError as error:
                raise InputError(
                    f"source: cannot read {path}: {error.strerror or error}. "
                    "Change its permissions, or leave it out of `paths`."
                ) from error

        return self.remembered(path, _stamp(status), read)

    def remembered(self, path: str, stamp: Stamp, read: Callable[[], str]) -> str:
        """Return the hash of a file as remembered for its stamp, else as `read` gives it."""
        known = self._recall(path, stamp)
        if known is not None:
            return known
        started = time.time_ns()
        digest = read()
        lasting = started - stamp.changed_ns >= _RACY_NS
        (self._learned if lasting else self._racy)[path] = [*stamp, digest]
        return digest

    def _recall(self, path: str, stamp: Stamp) -> str | None:
        for memory in (self._racy, self._learned, self._known):
            known = memory.get(path)
            if known is not None and tuple(known[:3]) == stamp:
                return str(known[3])
        return None

    def save(self) -> None:
        """Remember what was learned; forget files that are gone."""
        if self._path is None or len(self._learned) == self._saved:
            return
        self._saved = len(self._learned)
        kept = {
            path: entry
            for path, entry in self._known.items()
            if "://" in path or os.path.exists(path)
        }
        payload = json.dumps({**kept, **self._learned}, separators=(",", ":")).encode()
        with contextlib.suppress(StoreError):  # an unwritable memory costs time, never a result
            storage.write_bytes(self._path, payload)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _progress(read: int, total: int) -> Progress:
    return Progress(read / 1e6, total / 1e6, "MB hashed")


def _load(path: Path) -> dict[str, list[int | str]]:
    """Return what is remembered; a missing or damaged memory is an empty one."""
    try:
        found = pydantic_core.from_json(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: entry
        for name, entry in found.items()
        if isinstance(entry, list) and len(entry) == 4 and isinstance(entry[3], str)
    }
