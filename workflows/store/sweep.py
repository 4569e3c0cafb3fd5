"""Removes one folder under its lease, or loose files: the order of deletion is in collect.py."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from pipelines import storage
from workflows.artifact import MANIFEST, now
from workflows.store.leases import claim
from workflows.store.marks import later_generations

GONE = "_gone.json"


def remove_folder(folder: Path, keeping: Callable[[], str | None], at: float) -> str | None:
    """Remove an artifact's folder, manifest first.

    Args:
        folder: The artifact's folder.
        keeping: Says, as of now, what keeps it; asked before and after the manifest is taken.
        at: The time by the store's clock.

    Returns:
        Why it was spared, None where it is gone.
    """
    ours = claim(folder / "_lease", at)
    if ours is None:
        return "a run works there"
    why = keeping() or _take_manifest(folder, keeping)
    if why is not None:
        ours.release()
        return why
    listed = sorted(
        (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()),
        key=lambda path: (not _is_promise(path), path),
    )
    for path in listed:
        if path.parent == ours.folder or path == folder / GONE:
            continue
        if not ours.is_held():
            return "a run took it over while it was being removed"
        path.unlink(missing_ok=True)
    if next(later_generations(folder), None) is not None:
        storage.put_if_absent(folder / GONE, f'{{"removed": "{now()}"}}\n'.encode())
    else:
        (folder / GONE).unlink(missing_ok=True)
    ours.erase()
    _remove_empty(folder)
    return None


def remove_files(paths: Iterable[Path], keeping: Callable[[], str | None]) -> str | None:
    """Remove files that nothing names; returns why they were spared, None where they are gone."""
    why = keeping()
    if why is not None:
        return why
    for path in paths:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # the first folder that still holds something ends the climb
            for parent in path.parents:
                parent.rmdir()
    return None


def _take_manifest(folder: Path, keeping: Callable[[], str | None]) -> str | None:
    """Remove the manifest, then look once more; put it back where something keeps it after all."""
    manifest = folder / MANIFEST
    try:
        payload = manifest.read_bytes()
    except FileNotFoundError:
        return None
    manifest.unlink()
    why = keeping()
    if why is not None:
        storage.put_if_absent(manifest, payload)
    return why


def _is_promise(path: Path) -> bool:
    """Whether a file says that others are complete: these go first."""
    return path.parent.name == "_shards" or path.name == "COMPLETE.json"


def _remove_empty(folder: Path) -> None:
    folders = [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]
    for path in [*sorted(folders, key=lambda path: -len(path.parts)), folder]:
        with suppress(OSError):  # a run began here meanwhile: what it wrote stays
            path.rmdir()
