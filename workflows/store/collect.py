"""Finds what nothing keeps, and removes it on request: mark, then sweep.

The protocol, against every writer that may be at work meanwhile:

1. One gc at a time: it holds an epoch of `<store>/_gc.lock`. The store's own clock (the time of
   the file that took the lock) is what ages are measured by.
2. A folder is touched only under its own lease, `<artifact>/_lease`: a run that wants to build
   there waits, and a folder where a run works is left alone. A gc that lost the lease stops.
3. Under the lease the marks are read again: tags, pins, leases and the journals that changed.
4. The manifest goes first; from then on no reader finds the artifact. Then the marks are read
   once more, and if a name appeared the manifest is put back, all its files still being there.
   A run or a tag does the opposite: it writes the name first, then looks at the manifest. Of the
   two, at least one sees the other.
5. Then shard records and checkpoint marks, so that nothing claims files that are going; then the
   files that were listed under the lease and no later ones; then the lease.

Killed anywhere, it leaves a folder without a manifest: an uncommitted one, which the next gc takes.
Where a later generation of the same key lives, `_gone.json` keeps the number of the removed one.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pipelines.errors import StoreError
from workflows.artifact import MANIFEST, Artifact
from workflows.store import refs
from workflows.store.leases import claim, holder
from workflows.store.marks import DAY, Marks, folder_name, later_generations
from workflows.store.sweep import remove_files, remove_folder

Reason = Literal[
    "superseded generation",
    "nothing keeps it",
    "uncommitted",
    "finished training's checkpoints",
    "orphan file",
    "temporary file",
    "cache",
]
KEEP_DAYS = 14.0
RUBBISH_DAYS = 7.0
LOCK = "_gc.lock"
_TEMPORARY = re.compile(r"\..*\.tmp")


@dataclass(frozen=True)
class Rubbish:
    """One thing to remove: a folder of the store, or files in a folder that stays."""

    where: str
    stage: str
    reason: Reason
    files: tuple[Path, ...]
    bytes: int
    whole: bool

    def as_json(self) -> dict[str, Any]:
        """Return the row of `llada gc --json`."""
        return {
            "where": self.where,
            "stage": self.stage,
            "reason": self.reason,
            "files": len(self.files),
            "bytes": self.bytes,
        }


@dataclass(frozen=True)
class Collection:
    """What a gc found: rubbish, what keeps the rest, and (applied) what was removed or spared."""

    rubbish: tuple[Rubbish, ...]
    kept: Mapping[str, str]
    removed: tuple[Rubbish, ...] = ()
    spared: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """What removing all the rubbish frees."""
        return sum(one.bytes for one in self.rubbish)


def survey(store: Path, *, keep_days: float = KEEP_DAYS, at: float | None = None) -> Collection:
    """Return what a gc would remove; changes nothing.

    Raises:
        StoreError: there is no store, or something in it that may keep artifacts is unreadable.
    """
    return _survey(_marks(store, keep_days, time.time() if at is None else at), keep_days)


def collect(store: Path, *, keep_days: float = KEEP_DAYS) -> Collection:
    """Remove what nothing keeps.

    Raises:
        StoreError: another gc is at work, or the store cannot be read or written.
    """
    if not store.is_dir():
        raise _no_store(store)
    lock = claim(store / LOCK, time.time())
    if lock is None:
        who = holder(store / LOCK, time.time()) or "another gc, a moment ago"
        raise StoreError(
            f"{store / LOCK} is held by {who}: one gc at a time. Wait until it ends; a dead one "
            "counts as gone ten minutes after its last sign of life."
        )
    try:
        marks = _marks(store, keep_days, lock.store_time())
        found = _survey(marks, keep_days)
        removed: list[Rubbish] = []
        spared: dict[str, str] = {}
        for one in found.rubbish:
            if not lock.is_held():
                raise StoreError(f"{store / LOCK} was taken over: this gc stops. Run it again.")
            why = _remove(one, marks)
            if why is None:
                removed.append(one)
            else:
                spared[one.where] = why
        return replace(found, removed=tuple(removed), spared=spared)
    finally:
        lock.release()


def _remove(one: Rubbish, marks: Marks) -> str | None:
    if not one.whole:
        return remove_files(one.files, lambda: _busy(one, marks))
    return remove_folder(marks.store / one.where, lambda: marks.read().get(one.where), marks.at)


def _busy(one: Rubbish, marks: Marks) -> str | None:
    """Return why the loose files of a kept folder must stay after all."""
    if one.where in {ref.ref for ref in refs.pins(marks.store).values()}:
        return "pinned"
    busy = holder(marks.store / one.where / "_lease", marks.at)
    return f"in use by {busy}" if busy else None


def _marks(store: Path, keep_days: float, at: float) -> Marks:
    if not store.is_dir():
        raise _no_store(store)
    return Marks(store, keep_days, at)


def _no_store(store: Path) -> StoreError:
    return StoreError(f"there is no store at {store}. Name one with --store.")


def _survey(marks: Marks, keep_days: float) -> Collection:
    kept = marks.read()
    rubbish = [
        *_folders(marks, kept),
        *_loose(marks, kept),
        *_elsewhere(marks.store, marks.at, keep_days),
    ]
    return Collection(tuple(one for one in rubbish if one.files or one.whole),
                      {folder: kept[folder] for folder in marks.published if folder in kept}
                      )  # fmt: skip


def _folders(marks: Marks, kept: Mapping[str, str]) -> Iterator[Rubbish]:
    """Yield whole folders, later generations first: a removed one must not hide a later one."""
    for folder in sorted(_artifact_folders(marks.store), key=_by_generation, reverse=True):
        name = folder_name(folder)
        artifact = marks.published.get(name)
        if name in kept or holder(folder / "_lease", marks.at):
            continue
        files = _files(folder)
        if artifact is None:
            if _is_young(files, marks.at) or _is_gone_mark(folder, files):
                continue
            stage, reason = folder.name.rpartition("-")[0], "uncommitted"
        else:
            stage = artifact.manifest.name
            later = [one for one in later_generations(folder) if (one / MANIFEST).exists()]
            reason = "superseded generation" if later else "nothing keeps it"
        yield _rubbish(name, stage, reason, files, whole=True)


def _loose(marks: Marks, kept: Mapping[str, str]) -> Iterator[Rubbish]:
    """Yield what lies in kept artifacts without being named by their manifests."""
    pinned = {ref.ref for ref in refs.pins(marks.store).values()}
    for name, artifact in marks.published.items():
        if name not in kept or name in pinned or holder(marks.store / name / "_lease", marks.at):
            continue
        found: dict[Reason, dict[Path, tuple[int, float]]] = {}
        for path, state in _files(marks.store / name).items():
            reason = _unnamed(artifact, path.relative_to(marks.store / name))
            if reason is not None and not _is_young({path: state}, marks.at):
                found.setdefault(reason, {})[path] = state
        for reason, files in found.items():
            yield _rubbish(name, artifact.manifest.name, reason, files, whole=False)


def _unnamed(artifact: Artifact, path: Path) -> Reason | None:
    parts = path.parts
    if _TEMPORARY.fullmatch(path.name):
        return "temporary file"
    if "/".join(parts) in _named(artifact) or parts[0] == MANIFEST or parts[0].startswith("_"):
        return None
    if parts[0] == "checkpoints":  # the record of a training beside them is small, and read
        return "finished training's checkpoints" if len(parts) > 2 else None
    return "orphan file"


def _named(artifact: Artifact) -> frozenset[str]:
    return frozenset(entry.path for entry in artifact.manifest.files)


def _elsewhere(store: Path, at: float, keep_days: float) -> Iterator[Rubbish]:
    for top in sorted(store.iterdir()):
        if not top.is_dir() or not top.name.startswith("_") or top.name in ("_mlflow", LOCK):
            continue
        files = _files(top)
        old = {path: state for path, state in files.items() if not _is_young({path: state}, at)}
        temporary = {path: s for path, s in old.items() if _TEMPORARY.fullmatch(path.name)}
        yield _rubbish(top.name, top.name, "temporary file", temporary, whole=False)
        if top.name == "_cache":
            cached = {path: s for path, s in old.items()
                      if path not in temporary and s[1] < at - keep_days * DAY}  # fmt: skip
            yield _rubbish(top.name, top.name, "cache", cached, whole=False)


def _rubbish(
    where: str, stage: str, reason: Any, files: Mapping[Path, tuple[int, float]], *, whole: bool
) -> Rubbish:
    size = sum(bytes_ for bytes_, _ in files.values())
    return Rubbish(where, stage, reason, tuple(files), size, whole)


def _artifact_folders(store: Path) -> Iterator[Path]:
    for kind in store.iterdir():
        if kind.is_dir() and not kind.is_symlink() and kind.name[0] not in "_.":
            yield from (one for one in kind.iterdir() if one.is_dir() and not one.is_symlink())


def _by_generation(folder: Path) -> tuple[str, int, str]:
    stem, _, number = folder.name.rpartition(".g")
    return (stem, int(number), "") if number.isdigit() and stem else (folder.name, 1, "")


def _files(folder: Path) -> dict[Path, tuple[int, float]]:
    """Return size and time of every file under a folder; links are files, never followed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        try:
            state = path.lstat()
        except FileNotFoundError:
            continue
        found[path] = (state.st_size, state.st_mtime)
    return found


def _is_young(files: Mapping[Path, tuple[int, float]], at: float) -> bool:
    """Whether one of the files changed in the last week; a gc's own lease is no sign of work."""
    times: Iterable[float] = (t for path, (_, t) in files.items() if path.parent.name != "_lease")
    return max(times, default=0.0) > at - RUBBISH_DAYS * DAY


def _is_gone_mark(folder: Path, files: Mapping[Path, object]) -> bool:
    """Whether this is what a removed generation leaves while a later one lives."""
    only = {path.name for path in files if path.parent == folder} == {"_gone.json"}
    return only and next(later_generations(folder), None) is not None
