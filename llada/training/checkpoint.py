"""Checkpoints published like artifacts: files, one manifest a rank, and COMPLETE.json last.

What exists is complete. `<root>/step-000200.<attempt>/` counts only with a COMPLETE.json and with
files that match their manifests; anything else is named in a warning and passed over.
"""

import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import torch.distributed as dist
import xxhash

from llada.training.errors import CheckpointError
from llada.training.retention import Checkpoint, RetentionConfig, kept

COMPLETE = "COMPLETE.json"
JOB = "job.json"
MARKS = "marks.jsonl"
FORMAT = "state-files-1"
_NAME = re.compile(r"step-(?P<step>\d+)\.\w+")
_HASH_CHUNK = 8 << 20
_PATIENCE_S = 1800.0
"""How long rank 0 waits for the files of the others; a rank that died ends this one sooner."""

Value = TypeVar("Value")
Write = Callable[[Path], list[Path]]
"""Writes one rank's files into a folder and names them."""
Snapshot = Callable[[], Write]
"""Takes a copy of one rank's state, and returns what writes it."""

logger = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run, as all its ranks together save, choose and delete them.

    All ranks of the default process group call every method in the same order; the constructor,
    `restore` and `wait` are collective. Writing is not: each rank writes and hashes its own files
    on a thread, and the manifests of all ranks, which are files, tell rank 0 when to complete.
    """

    def __init__(self, root: Path, retention: RetentionConfig = RetentionConfig()) -> None:  # noqa: B008  frozen
        """Agree on the name of this attempt, so that no two attempts write into one folder."""
        self._root, self._retention = root, retention
        self._rank, self._world = dist.get_rank(), dist.get_world_size()
        self._attempt, self._saves = _from_rank_0(uuid4().hex[:8]), 0
        self._writer: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._last: Checkpoint | None = None
        self.passed_over: list[Path] = []
        """What `restore` found damaged; they no longer count when old ones are deleted."""

    def save(self, step: int, snapshot: Snapshot, *, tokens: int = 0) -> None:
        """Begin to publish the state after `step` steps, and return while it is written.

        At most one is under way: the snapshot is taken once the one before is written. Older
        checkpoints go, as the retention says, only after this one is complete.

        Raises:
            CheckpointError: the one before could not be written.
        """
        self._join()
        write = snapshot()
        self._saves += 1
        name = f"step-{step:06d}.{self._attempt}x{self._saves}"
        checkpoint = Checkpoint(self._root / name, step, self._world, tokens)
        # A daemon: a process whose other ranks are gone must be able to end.
        self._writer = threading.Thread(
            target=self._publish, args=(checkpoint, write), name=name, daemon=True
        )
        self._writer.start()

    def check(self) -> None:
        """Raise what went wrong in the background, if anything has.

        Raises:
            CheckpointError: a checkpoint could not be written.
        """
        if self._failure is not None:
            raise CheckpointError(_unwritten(self._root, self._failure)) from self._failure

    def wait(self) -> Checkpoint | None:
        """Return the newest checkpoint once none is being written any more, on any rank."""
        self._join()
        dist.barrier()
        return self._last

    def restore(self, read: Callable[[Path], None]) -> Checkpoint | None:
        """Load and return the newest checkpoint that is valid on all ranks, if there is one."""
        self.wait()
        for checkpoint in _from_rank_0(complete_checkpoints(self._root)):
            writers = range(self._rank, checkpoint.world_size, self._world)
            defects: list[str | None] = [None] * self._world
            dist.all_gather_object(defects, defect(checkpoint.folder, writers))
            if found := [each for each in defects if each]:
                self.passed_over.append(checkpoint.folder)
                logger.warning("checkpoint %s is passed over: %s", checkpoint.folder, found[0])
                continue
            read(checkpoint.folder)
            self._last = checkpoint
            return checkpoint
        return None

    def mark(self, step: int, value: float) -> None:
        """Note how good the weights after `step` steps are (lower is better), for `best`."""
        if self._rank == 0:
            with (self._root / MARKS).open("a") as file:
                file.write(json.dumps({"step": step, "value": value}) + "\n")

    def _join(self) -> None:
        if self._writer is not None:
            self._writer.join()
        self.check()

    def _publish(self, checkpoint: Checkpoint, write: Write) -> None:
        try:
            self._write_own(checkpoint.folder, write)
            if self._rank == 0:
                _complete(checkpoint)
                self._prune()
            self._last = checkpoint
        except BaseException as error:  # noqa: BLE001  for the thread that asks next
            self._failure = error

    def _write_own(self, folder: Path, write: Write) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        own = write(folder)
        manifest = {str(path.relative_to(folder)): _settle(path) for path in own}
        write_once(folder / f"MANIFEST.{self._rank}.json", manifest)

    def _prune(self) -> None:
        complete = complete_checkpoints(self._root)
        candidates = [c for c in complete if c.folder not in self.passed_over]
        stay = {c.folder for c in kept(candidates, read_marks(self._root), self._retention)}
        for folder in self._root.glob("step-*"):
            match = _NAME.fullmatch(folder.name)
            if match and int(match["step"]) <= complete[0].step and folder not in stay:
                (folder / COMPLETE).unlink(missing_ok=True)  # half-deleted must not look complete
                shutil.rmtree(folder)


def discard(checkpoint: Checkpoint) -> None:
    """Delete a checkpoint; half-deleted, it does not look complete."""
    (checkpoint.folder / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(checkpoint.folder)


def complete_checkpoints(root: Path) -> list[Checkpoint]:
    """Return the folders under `root` that claim to be complete, newest first; name the others."""
    claims = {folder: _claim(folder) for folder in _folders(root)}
    for folder, claim in claims.items():
        if isinstance(claim, str):
            logger.warning("checkpoint %s is passed over: %s", folder, claim)
    return _newest_first(claims.values())


def completed_so_far(root: Path) -> list[Checkpoint]:
    """Return the same while others are being written, about which there is nothing to say."""
    return _newest_first([_claim(folder) for folder in _folders(root)])


def _folders(root: Path) -> list[Path]:
    return sorted(folder for folder in root.glob("step-*") if _NAME.fullmatch(folder.name))


def _claim(folder: Path) -> Checkpoint | str:
    """Return what a folder says it is, or why that does not count."""
    if not (folder / COMPLETE).exists():
        return "it was never completed"
    try:
        claim = json.loads((folder / COMPLETE).read_bytes())
        if claim["format"] != FORMAT:
            return "another format"
        counts = (int(claim[name]) for name in ("step", "world_size", "tokens"))
        return Checkpoint(folder, *counts)
    except (ValueError, KeyError):
        return f"unreadable {COMPLETE}"


def _newest_first(claims: Iterable[Checkpoint | str]) -> list[Checkpoint]:
    # At one step (after a rejected checkpoint was written again) the later one is the better one.
    found = [claim for claim in claims if isinstance(claim, Checkpoint)]
    return sorted(found, key=lambda c: (c.step, (c.folder / COMPLETE).stat().st_mtime_ns))[::-1]


def read_marks(root: Path) -> dict[int, float]:
    """Return the last value given to each step; a line torn by a crash counts for nothing."""
    marks = {}
    if (root / MARKS).exists():
        for line in (root / MARKS).read_text().splitlines():
            try:
                mark = json.loads(line)
                marks[int(mark["step"])] = float(mark["value"])
            except (ValueError, KeyError, TypeError):
                continue
    return marks


def claim_folder(root: Path, identity: Mapping[str, Any]) -> None:
    """Mark `root` as the checkpoints of one job, or check that it is this one's.

    Raises:
        CheckpointError: another job wrote here; continuing would mix two runs.
    """
    root.mkdir(parents=True, exist_ok=True)
    marker = root / JOB
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


def _complete(checkpoint: Checkpoint) -> None:
    """Wait for the manifests of all ranks and publish the file that makes the folder count."""
    folder = checkpoint.folder
    manifests = [folder / f"MANIFEST.{rank}.json" for rank in range(checkpoint.world_size)]
    deadline = time.monotonic() + _PATIENCE_S
    while missing := [path.name for path in manifests if not path.exists()]:
        if time.monotonic() > deadline:
            raise CheckpointError(f"no {missing[0]} in {folder} after {_PATIENCE_S:.0f} s")
        time.sleep(0.01)
    complete = {
        "format": FORMAT,
        "step": checkpoint.step,
        "world_size": checkpoint.world_size,
        "tokens": checkpoint.tokens,
        "manifests": {path.name: _digest(path) for path in manifests},
    }
    write_once(folder / COMPLETE, complete)
    _sync_folder(folder.parent)


def _unwritten(root: Path, failure: BaseException) -> str:
    return (
        f"a checkpoint in {root} could not be written: {failure or type(failure).__name__}; make "
        "room or mend the disk, and run again: it continues from the last complete one"
    )


def defect(folder: Path, writers: Iterable[int]) -> str | None:
    """Return what is wrong with the files that these ranks wrote, if anything."""
    promised = json.loads((folder / COMPLETE).read_bytes())["manifests"]
    for rank in writers:
        name = f"MANIFEST.{rank}.json"
        if not (folder / name).is_file() or _digest(folder / name) != promised.get(name):
            return f"{name} is missing or changed"
        for file, written in json.loads((folder / name).read_bytes()).items():
            if found := _difference(folder / file, written):
                return f"{file} {found}"
    return None


def _difference(path: Path, written: Mapping[str, Any]) -> str | None:
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != written["bytes"]:
        return f"has {path.stat().st_size} bytes, written were {written['bytes']}"
    if _digest(path) != written["xxh3_128"]:
        return "changed after it was written"
    return None


def _from_rank_0(value: Value) -> Value:
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


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
