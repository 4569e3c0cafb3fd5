"""Content hashes of source files, remembered between plans so that a plan need not read a corpus.

A hash is remembered for a path with its size and its times of change. One taken less than two
seconds after the file changed is not: another write could follow within one tick of the clock.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pydantic_core

from pipelines import storage
from pipelines.errors import InputError, StoreError

FILE = "source-hashes.json"
_RACY_NS = 2_000_000_000


class Stamp(NamedTuple):
    """What tells that a file is as it was when it was hashed."""

    bytes: int
    changed_ns: int
    status_changed_ns: int


class SourceHashes:
    """Hashes files, asking the memory in `folder` first; without a folder it only hashes."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = folder / FILE if folder is not None else None
        self._known = _load(self._path) if self._path is not None else {}
        self._learned: dict[str, list[int | str]] = {}

    def of(self, path: str, status: os.stat_result) -> str:
        """Return the xxh3-128 of a file whose status was just read; InputError if unreadable."""

        def read() -> str:
            try:
                return storage.hash_file(Path(path))
            except OSError as error:
                raise InputError(
                    f"source: cannot read {path}: {error.strerror or error}. "
                    "Change its permissions, or leave it out of `paths`."
                ) from error

        return self.remembered(
            path, Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns), read
        )

    def remembered(self, path: str, stamp: "Stamp", read: Callable[[], str]) -> str:
        """Return the hash of a file as remembered for its stamp, else as `read` gives it."""
        known = self._known.get(path)
        if known is not None and tuple(known[:3]) == stamp:
            return str(known[3])
        started = time.time_ns()
        digest = read()
        if started - stamp.changed_ns >= _RACY_NS:
            self._learned[path] = [*stamp, digest]
        return digest

    def save(self) -> None:
        """Remember what was learned; forget files that are gone."""
        if self._path is None or not self._learned:
            return
        kept = {
            path: entry
            for path, entry in self._known.items()
            if "://" in path or os.path.exists(path)
        }
        payload = json.dumps({**kept, **self._learned}, separators=(",", ":")).encode()
        with contextlib.suppress(StoreError):  # an unwritable memory costs time, never a result
            storage.write_bytes(self._path, payload)


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
