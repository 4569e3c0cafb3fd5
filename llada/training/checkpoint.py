"""Checkpoints published like artifacts: files, one manifest a rank, and COMPLETE.json last.

What exists is complete. `<root>/step-000200.<attempt>/` counts only with a COMPLETE.json and with
files that match their manifests; anything else is named in a warning and passed over.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import torch.distributed as dist
import xxhash

from llada.training.errors import CheckpointError

KEPT = 2
_COMPLETE = "COMPLETE.json"
_NAME = re.compile(r"step-(?P<step>\d+)\.\w+")
# DeepSpeed's only per-rank names; every other file of a checkpoint is written by rank 0.
_RANKED = re.compile(r"zero_pp_rank_(?P<rank>\d+)_")
_HASH_CHUNK = 8 << 20

Value = TypeVar("Value")

logger = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """A folder that claims to be complete."""

    folder: Path
    step: int
    world_size: int


class Checkpoints:
    """The checkpoints of one run, as all its ranks together save, choose and delete them.

    Every method is collective: all ranks of the default process group call it in the same order.
    """

    def __init__(self, root: Path) -> None:
        """Agree on the name of this attempt, so that no two attempts write into one folder."""
        self._root, self._rank, self._world = root, dist.get_rank(), dist.get_world_size()
        self._attempt = _from_rank_0(uuid4().hex[:8])
        self.passed_over: list[Path] = []
        """What `restore` found damaged; they no longer count when old ones are deleted."""

    def save(self, step: int, write: Callable[[Path], None]) -> Checkpoint:
        """Publish the state after `step` steps; every rank's `write(folder)` adds its files.

        Older checkpoints go only after this one is complete; the newest two stay.
        """
        folder = self._root / f"step-{step:06d}.{self._attempt}"
        folder.mkdir(parents=True, exist_ok=True)
        write(folder)
        dist.barrier()  # DeepSpeed may return on one rank while another still writes
        own = [path for path in _files(folder) if _owner(path) == self._rank]
        manifest = {str(path.relative_to(folder)): _settle(path) for path in own}
        write_once(folder / f"MANIFEST.{self._rank}.json", manifest)
        dist.barrier()
        if self._rank == 0:
            names = [f"MANIFEST.{rank}.json" for rank in range(self._world)]
            complete = {
                "step": step,
                "world_size": self._world,
                "manifests": {name: _digest(folder / name) for name in names},
            }
            write_once(folder / _COMPLETE, complete)
            _sync_folder(self._root)
            self._prune()
        return Checkpoint(folder, step, self._world)

    def restore(self, read: Callable[[Path], None]) -> Checkpoint | None:
        """Load and return the newest checkpoint that is valid on all ranks, if there is one.

        Raises:
            CheckpointError: it was written by another number of workers.
        """
        for checkpoint in _from_rank_0(complete_checkpoints(self._root)):
            require_world_size(checkpoint, self._world)
            defects: list[str | None] = [None] * self._world
            dist.all_gather_object(defects, _defect(checkpoint.folder, self._rank))
            if found := [defect for defect in defects if defect]:
                self.passed_over.append(checkpoint.folder)
                logger.warning("checkpoint %s is passed over: %s", checkpoint.folder, found[0])
                continue
            read(checkpoint.folder)
            return checkpoint
        return None

    def _prune(self) -> None:
        complete = complete_checkpoints(self._root)
        kept = [c.folder for c in complete if c.folder not in self.passed_over][:KEPT]
        for folder in self._root.glob("step-*"):
            match = _NAME.fullmatch(folder.name)
            if match and int(match["step"]) <= complete[0].step and folder not in kept:
                (folder / _COMPLETE).unlink(missing_ok=True)  # half-deleted must not look complete
                shutil.rmtree(folder)


def discard(checkpoint: Checkpoint) -> None:
    """Delete a checkpoint; half-deleted, it does not look complete."""
    (checkpoint.folder / _COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(checkpoint.folder)


def complete_checkpoints(root: Path) -> list[Checkpoint]:
    """Return the folders under `root` that claim to be complete, newest first."""
    found = []
    for folder in sorted(root.glob("step-*")):
        if not _NAME.fullmatch(folder.name):
            continue
        if not (folder / _COMPLETE).exists():
            logger.warning("checkpoint %s is passed over: it was never completed", folder)
            continue
        try:
            claim = json.loads((folder / _COMPLETE).read_bytes())
            found.append(Checkpoint(folder, int(claim["step"]), int(claim["world_size"])))
        except (ValueError, KeyError):
            logger.warning("checkpoint %s is passed over: unreadable %s", folder, _COMPLETE)
    # At one step (after a rejected checkpoint was written again) the later one is the better one.
    return sorted(found, key=lambda c: (c.step, (c.folder / _COMPLETE).stat().st_mtime_ns))[::-1]


def require_world_size(checkpoint: Checkpoint, workers: int) -> None:
    """Refuse a checkpoint sharded for another number of workers.

    Raises:
        CheckpointError: always names both numbers and the way out.
    """
    if checkpoint.world_size != workers:
        msg = (
            f"{checkpoint.folder} was written by {checkpoint.world_size} workers, this run has "
            f"{workers}; a checkpoint loads only at its own number: run with workers="
            f"{checkpoint.world_size}, or start over in an empty checkpoint_dir"
        )
        raise CheckpointError(msg)


def claim_folder(root: Path, identity: Mapping[str, Any]) -> None:
    """Mark `root` as the checkpoints of one job, or check that it is this one's.

    Raises:
        CheckpointError: another job wrote here; continuing would mix two runs.
    """
    root.mkdir(parents=True, exist_ok=True)
    marker = root / "job.json"
    if not marker.exists():
        write_once(marker, identity)
    owner = json.loads(marker.read_bytes())
    if changed := [key for key in identity if owner.get(key) != identity[key]]:
        key = changed[0]
        msg = (
            f"{root} holds the checkpoints of another job: {key} was {owner.get(key)}, is "
            f"{identity[key]}; use a checkpoint_dir of its own for every job"
        )
        raise CheckpointError(msg)


def write_once(path: Path, content: Mapping[str, Any]) -> None:
    """Publish JSON durably, all or nothing; a file that exists already stays as it is."""
    draft = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    with draft.open("wb") as file:
        file.write(json.dumps(content, indent=1, sort_keys=True).encode())
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        logger.info("%s exists already and stays", path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _defect(folder: Path, rank: int) -> str | None:
    """Return what is wrong with the files of `rank`, if anything."""
    name = f"MANIFEST.{rank}.json"
    complete = json.loads((folder / _COMPLETE).read_bytes())
    if not (folder / name).is_file() or _digest(folder / name) != complete["manifests"].get(name):
        return f"{name} is missing or changed"
    for file, promised in json.loads((folder / name).read_bytes()).items():
        path = folder / file
        if not path.is_file():
            return f"{file} is missing"
        if path.stat().st_size != promised["bytes"]:
            return f"{file} has {path.stat().st_size} bytes, written were {promised['bytes']}"
        if _digest(path) != promised["xxh3_128"]:
            return f"{file} changed after it was written"
    return None


def _from_rank_0(value: Value) -> Value:
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def _files(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if not path.name.startswith((".", "MANIFEST.", _COMPLETE))]


def _owner(path: Path) -> int:
    match = _RANKED.search(path.name)
    return int(match["rank"]) if match else 0


def _settle(path: Path) -> dict[str, int | str]:
    """Bring a file to the disk and describe it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "xxh3_128": _digest(path)}


def _digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
