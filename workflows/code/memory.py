"""Code closures remembered between commands: hashing them anew costs a quarter of a second.

What is remembered holds for one state of the source tree (every file's path, size and time of
change) and one Python version. It lies in the user's cache folder and may be lost at any time.
"""

import contextlib
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import pydantic_core

from pipelines import storage
from pipelines.errors import StoreError
from pipelines.local_copies import user_cache
from workflows.code.closure import PACKAGES, CodeClosure, closure
from workflows.environment import PROJECT

_RACY_NS = 2_000_000_000
"""A file changed more recently could change once more within one tick of the clock."""


class Closures:
    """Answers for closures, from memory where the tree is as it was; one per plan."""

    def __init__(self, root: Path = PROJECT, folder: Path | None = None) -> None:
        """Read the memory; `folder` defaults to the user's cache folder."""
        self._root = root
        name = hashlib.sha256(str(root).encode()).hexdigest()[:16]
        self._path = (folder or user_cache()) / f"closures-{name}.json"
        self._stamp, self._newest = _stamp(root)
        self._known = self._load()
        self._learned = False

    def of(self, name: str) -> CodeClosure:
        """Return the closure of a function by its dotted name; raises what `closure` raises."""
        if name not in self._known:
            self._known[name] = closure(name, self._root)
            self._learned = True
        return self._known[name]

    def save(self) -> None:
        """Remember what was learned."""
        if not self._learned or time.time_ns() - self._newest < _RACY_NS:
            return
        parts = {
            name: {"digest": one.digest, "parts": dict(one.parts)}
            for name, one in self._known.items()
        }
        payload = json.dumps({"stamp": self._stamp, "closures": parts}).encode()
        with contextlib.suppress(StoreError):  # an unwritable memory costs time, never a result
            storage.write_bytes(self._path, payload)

    def _load(self) -> dict[str, CodeClosure]:
        try:
            found = pydantic_core.from_json(self._path.read_bytes())
            if found["stamp"] != self._stamp:
                return {}
            closures = found["closures"].items()
            return {name: CodeClosure(one["digest"], one["parts"]) for name, one in closures}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def _stamp(root: Path) -> tuple[str, int]:
    """Return a hash over the state of the project's source files, and the latest change."""
    digest = hashlib.sha256(sys.version.encode())
    newest = 0
    waiting = [str(root / package) for package in PACKAGES]
    while waiting:
        try:
            entries = sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    waiting.append(entry.path)
            elif entry.name.endswith(".py"):
                status = entry.stat()
                newest = max(newest, status.st_mtime_ns)
                digest.update(f"{entry.path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest(), newest
