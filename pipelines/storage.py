"""A store on a local disk: durable writes, put-if-absent, and errors that say what to do.

Nothing here overwrites: data files have names unique to the attempt, and the two files that
decide anything (a shard record, a manifest) are created by put-if-absent, so the first wins.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import xxhash

from pipelines.errors import StoreError

_CHUNK = 1 << 20


def store_root(uri: str, *, relative_to: Path | None = None) -> Path:
    """Return the folder that a store URI names; raises StoreError for a scheme not served here."""
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    elif "://" in uri:
        scheme = uri.split("://", 1)[0]
        raise StoreError(
            f"store: found the scheme '{scheme}://' in {uri!r}; this version writes to local disks "
            "(a path or file://). Use a path, for example: store: ./artifacts"
        )
    path = Path(uri).expanduser()
    if not path.is_absolute():
        path = (relative_to or Path.cwd()) / path
    return path.resolve()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals about `path` into a StoreError with a remedy."""
    try:
        yield
    except OSError as error:
        raise StoreError(_explain(error, path)) from error


def disk_error(error: OSError, path: Path) -> StoreError | None:
    """Return the StoreError for a full or unwritable disk, None for any other OSError."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreError(_explain(error, path))
    return None


def _explain(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left for {path} ({_free(path)} free). Nothing half-written was published. "
            "Free some space or point `store:` at a larger disk, then run the same command again: "
            "finished shards are kept."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"cannot write {path}: {error.strerror}. "
            "Point `store:` at a folder you may write to, or change its permissions."
        )
    return f"cannot use {path}: {error.strerror or error}"


def _free(path: Path) -> str:
    for folder in (path, *path.parents):
        if folder.exists():
            return f"{shutil.disk_usage(folder).free / 2**20:,.0f} MiB"
    return "unknown"


def fsync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing: visible under `path` only once complete and fsynced.

    Raises:
        StoreError: the disk is full, read-only or not ours; the partial file is removed.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
            temporary.rename(path)
            fsync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file durably; the name must be unique to the attempt or advisory."""
    with durable_file(path) as handle:
        handle.write(content)


def put_if_absent(path: Path, content: bytes) -> bool:
    """Create `path` with `content` unless it exists; True for the one writer that created it.

    POSIX gives this through link(2), which fails on an existing name, also between hosts on NFS.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(path.parent)
        return True


def hash_file(path: Path) -> str:
    """Return the xxh3-128 of a file's bytes as 32 hex digits."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
