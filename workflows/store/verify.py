"""Proves that artifacts are what their manifests promise: every file is read and hashed again."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.errors import StoreError
from pipelines.shards import FileEntry
from pipelines.storage import StorePath, hash_file
from workflows import artifact as artifacts
from workflows.artifact import Artifact
from workflows.journal import Journal, runs_folder

State = Literal["ok", "missing", "other size", "other hash", "unreadable"]
_THREADS = 8


@dataclass(frozen=True)
class FileCheck:
    """What became of one file."""

    entry: FileEntry
    state: State
    found: str = ""


@dataclass(frozen=True)
class Verified:
    """What became of one artifact; `problems` is empty where all is as promised."""

    artifact: Artifact
    files: int
    bytes: int
    problems: tuple[str, ...]
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the row of `llada verify --json`."""
        m = self.artifact.manifest
        return {
            "name": m.name,
            "kind": m.kind,
            "digest": m.digest,
            "folder": str(self.artifact.folder),
            "ok": not self.problems,
            "files": self.files,
            "bytes": self.bytes,
            "problems": list(self.problems),
            "remedy": self.remedy or None,
        }


@dataclass(frozen=True)
class Verification:
    """What a verification found, and how fast it read."""

    artifacts: tuple[Verified, ...]
    bytes: int
    seconds: float

    @property
    def damaged(self) -> tuple[Verified, ...]:
        """The artifacts that are not what they promise."""
        return tuple(one for one in self.artifacts if one.problems)


def with_ancestors(artifact: Artifact, store: StorePath) -> list[Artifact]:
    """Return an artifact and all it was built from that is still there, itself first."""
    found: dict[StorePath, Artifact] = {}
    waiting = [artifact]
    while waiting:
        one = waiting.pop()
        if one.folder in found:
            continue
        found[one.folder] = one
        for ref in one.manifest.inputs.values():
            parent = artifacts.load(store / ref.path)
            if parent is not None:
                waiting.append(parent)
    return list(found.values())


def verify(
    chosen: Sequence[Artifact],
    store: StorePath,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    threads: int = _THREADS,
) -> Verification:
    """Hash every file of some artifacts and compare with their manifests; changes nothing.

    Args:
        chosen: What to verify.
        store: Where they lie.
        progress: Called with bytes read and bytes promised, from many threads, one at a time.
        threads: How many files are read at once.
    """
    started = time.monotonic()
    total = sum(entry.bytes for one in chosen for entry in one.manifest.files)
    done, lock = 0, threading.Lock()

    def check(work: tuple[Artifact, FileEntry]) -> FileCheck:
        nonlocal done
        result = _check(work[0].folder / work[1].path, work[1])
        with lock:
            done += work[1].bytes
            progress(done, total)
        return result

    work = [(one, entry) for one in chosen for entry in one.manifest.files]
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        checks = iter(list(pool.map(check, work)))
    found = tuple(_verified(one, [next(checks) for _ in one.manifest.files], store)
                  for one in chosen)  # fmt: skip
    read = sum(one.bytes for one in found)
    return Verification(found, read, time.monotonic() - started)


def _check(path: StorePath, entry: FileEntry) -> FileCheck:
    try:
        size = path.stat().st_size
        if size != entry.bytes:
            return FileCheck(entry, "other size", f"{size:,} bytes instead of {entry.bytes:,}")
        found = hash_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return FileCheck(entry, "missing")
    except OSError as error:
        return FileCheck(entry, "unreadable", error.strerror or str(error))
    if found != entry.xxh3_128:
        return FileCheck(entry, "other hash", f"xxh3 {found[:12]} instead of {entry.xxh3_128[:12]}")
    return FileCheck(entry, "ok")


def _verified(artifact: Artifact, checks: list[FileCheck], store: StorePath) -> Verified:
    bad = [check for check in checks if check.state != "ok"]
    problems = [
        f"{check.state}: {check.entry.path}{f' ({check.found})' if check.found else ''}"
        for check in bad
    ]
    m = artifact.manifest
    digest = artifacts.content_digest(m.files)
    if digest != m.digest:
        problems.append(
            f"the manifest was changed: its files give the digest {digest[:12]}, it says "
            f"{m.digest[:12]}"
        )
    remedy = _rebuild(artifact, store) if problems else ""
    lost = list(_lost_inputs(artifact, store))
    if lost and not remedy:
        remedy = _rebuild(artifact, store, force=False) + " (rebuilds what is gone)"
    read = sum(check.entry.bytes for check in checks if check.state in ("ok", "other hash"))
    return Verified(artifact, len(checks), read, (*problems, *lost), remedy)


def _lost_inputs(artifact: Artifact, store: StorePath) -> Iterator[str]:
    for slot, ref in artifact.manifest.inputs.items():
        try:
            parent = artifacts.load(store / ref.path)
        except StoreError as error:
            yield f"input unreadable: {slot} was {ref.name}@{ref.digest[:12]}, {error}"
            continue
        if parent is None:
            yield f"input gone: {slot} was {ref.name}@{ref.digest[:12]} in {ref.path}"
        elif parent.manifest.digest != ref.digest:
            yield (
                f"input changed: {slot} was {ref.name}@{ref.digest[:12]}, {ref.path} now holds "
                f"{parent.label}"
            )


def _rebuild(artifact: Artifact, store: StorePath, *, force: bool = True) -> str:
    """Return the command that rebuilds an artifact: the one that built it, with --force."""
    m = artifact.manifest
    command = _command(store, m.run_id) or f"llada run RECIPE  (RECIPE: the file of '{m.recipe}')"
    if not force or f"--force {m.name}" in command:
        return command
    head, gap, rest = command.partition("  ")
    return f"{head} --force {m.name}{gap}{rest}"


def _command(store: StorePath, run_id: str) -> str | None:
    """Return the command line of a run, None where its journal is gone or does not say."""
    try:
        started = next(Journal(runs_folder(store) / run_id).milestones(), None)
    except (OSError, ValueError):
        return None
    command = started.data.get("command") if started else None
    return command if isinstance(command, str) and command else None
