"""The one way to read and write a store, on a local disk or in a bucket.

Nothing here overwrites: data files have names unique to the attempt, and the two files that
decide anything (a shard record, a manifest) are created by put-if-absent, so the first wins.
A path of a store is a `Path` on a local disk and a `UPath` in a bucket. Both join, open and read
alike; whatever differs between the two has a function here.
"""

import contextlib
import errno
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

import xxhash

from pipelines import object_store
from pipelines.errors import StoreError

if TYPE_CHECKING:
    from upath import UPath

    StorePath: TypeAlias = Path | UPath
else:  # importing upath takes 80 ms, which a plan over a local disk need not pay
    StorePath = Any

_CHUNK = 1 << 20


class Written(NamedTuple):
    """What lies under a name now."""

    bytes: int
    xxh3_128: str


class HashingFile(io.RawIOBase):
    """A file being written from its beginning to its end, counted and hashed on the way."""

    def __init__(self, inner: BinaryIO) -> None:
        super().__init__()
        self._inner = inner
        self._digest = xxhash.xxh3_128()
        self._size = 0

    @property
    def written(self) -> Written:
        """Size and hash of what was written so far."""
        return Written(self._size, self._digest.hexdigest())

    def writable(self) -> bool:
        """Say that this is a file to write to."""
        return True

    def tell(self) -> int:
        """Return how much was written."""
        return self._size

    def write(self, data: Any) -> int:
        """Write all of the bytes."""
        view = memoryview(data).cast("B")
        self._inner.write(view)
        self._digest.update(view)
        self._size += len(view)
        return len(view)


def store_root(uri: str, *, relative_to: Path | None = None) -> StorePath:
    """Return the folder that a store URI names.

    Raises:
        StoreError: no name, a scheme not served here, a file; a bucket that is missing or does
            not answer.
    """
    if not uri.strip():
        raise StoreError("store: found no name; write a folder or s3://bucket/prefix")
    if uri.startswith(object_store.SCHEME):
        return object_store.root(uri)
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    elif "://" in uri:
        scheme = uri.split("://", 1)[0]
        raise StoreError(
            f"store: found the scheme '{scheme}://'; allowed are local disks (a path or file://) "
            "and s3://bucket/prefix. A store needs a create that fails where the name exists, and "
            f"nothing has proven that for {scheme}. Use a path, for example: store: ./artifacts"
        )
    path = Path(uri).expanduser()
    if not path.is_absolute():
        path = (relative_to or Path.cwd()) / path
    path = path.resolve()
    taken = next((one for one in (path, *path.parents) if one.exists()), path)
    if taken.is_file():
        raise StoreError(f"store: {taken} is a file; name a folder, one that exists or a new one")
    return path


def at(uri: str) -> StorePath:
    """Return the path that `str(path)` names: how a path travels to a worker and into a file."""
    return object_store.at(uri) if uri.startswith(object_store.SCHEME) else Path(uri)


def relative(path: StorePath, root: StorePath) -> str:
    """Return how a path below a root is named from there, with '/' between the parts."""
    return path.as_posix().removeprefix(f"{root.as_posix()}/")


@contextmanager
def explained(path: StorePath) -> Iterator[None]:
    """Turn the refusals of a system or a server about `path` into a StoreError with a remedy."""
    try:
        yield
    except _failures(path) as error:
        raise StoreError(_explain(error, path)) from error


def _failures(path: StorePath) -> tuple[type[Exception], ...]:
    return (OSError,) if isinstance(path, Path) else object_store.failures()


def _explain(error: Exception, path: StorePath) -> str:
    if not isinstance(path, Path):
        return object_store.explain(error, path)
    if not isinstance(error, OSError):
        return f"cannot use {path}: {error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left for {path} ({_free(path)} free). Nothing half-written was published. "
            "Free some space or point `store:` at a larger disk, then run the same command again: "
            "finished shards are kept."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"cannot write {path}: {error.strerror}. "
            "Name a folder that you may write to (--out, --store, or `store:` in a recipe), or "
            "change its permissions."
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
def durable_file(path: StorePath) -> Iterator[HashingFile]:
    """Open a new file for writing: visible under `path` only once complete and durable.

    Its `written` tells size and hash, so that nobody need read the file again.

    Raises:
        StoreError: the disk or the server does not take it; nothing is left of the partial file.
    """
    with explained(path):
        if isinstance(path, Path):
            with _renamed(path) as temporary, _hashing(temporary) as handle:
                yield handle
        else:
            with object_store.staged(path) as staged, _hashing(staged) as handle:
                yield handle


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        temporary.rename(path)
        fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _hashing(path: Path) -> Iterator[HashingFile]:
    with path.open("xb") as handle:
        yield HashingFile(handle)
        handle.flush()
        os.fsync(handle.fileno())


def write_bytes(path: StorePath, content: bytes) -> Written:
    """Write a whole file durably; the name must be unique to the attempt or advisory."""
    with durable_file(path) as handle:
        handle.write(content)
    return handle.written


def put_if_absent(path: StorePath, content: bytes) -> bool:
    """Create `path` with `content` unless it exists; True for the one writer that created it.

    POSIX gives this through link(2), which fails on an existing name, also between hosts on NFS;
    a bucket through a conditional PUT.

    Raises:
        StoreError: the disk or the server does not take it, or cannot promise one winner.
    """
    with explained(path):
        return (
            _link(path, content) if isinstance(path, Path) else object_store.create(path, content)
        )


def _link(path: Path, content: bytes) -> bool:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _hashing(temporary) as handle:
            handle.write(content)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(path.parent)
    return True


def hash_file(path: StorePath, on_bytes: Callable[[int], None] | None = None) -> str:
    """Return the xxh3-128 of a file's bytes as 32 hex digits.

    `on_bytes` is told how many were read, a piece at a time; what it raises ends the reading.
    """
    digest = xxhash.xxh3_128()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
            if on_bytes is not None:
                on_bytes(len(chunk))
    return digest.hexdigest()


@contextmanager
def local(path: StorePath) -> Iterator[Path]:
    """Yield a local file with the content of `path`: itself, or a copy that is removed after."""
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="llada-read-") as folder:
        copy = Path(folder) / path.name
        with explained(path):
            object_store.download(path, copy)
        yield copy


def read_all(paths: Iterable[StorePath]) -> Mapping[StorePath, bytes]:
    """Return the content of those of the (small) files that exist; all in one store."""
    wanted = list(paths)
    read: dict[StorePath, bytes] = {}
    in_bucket = [path for path in wanted if not isinstance(path, Path)]
    if in_bucket:
        with explained(in_bucket[0].parent):
            read.update(object_store.read_all(in_bucket))
        return read
    for path in wanted:
        with explained(path):
            try:
                read[path] = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
    return read


def sizes(folder: StorePath, names: Iterable[str]) -> Mapping[str, int]:
    """Return the sizes of those of the files, named relative to `folder`, that exist."""
    with explained(folder):
        if not isinstance(folder, Path):
            return object_store.sizes(folder, names)
        return {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}


def children(folder: StorePath) -> list[str]:
    """Return the names directly under a folder, sorted; none where there is no such folder."""
    with explained(folder):
        if not isinstance(folder, Path):
            return object_store.children(folder)
        return sorted(os.listdir(folder)) if folder.is_dir() else []


def delete(path: StorePath) -> None:
    """Delete a file; one that does not exist is no error."""
    with explained(path):
        if isinstance(path, Path):
            path.unlink(missing_ok=True)
        else:
            object_store.delete(path)


def remove_empty(folder: StorePath) -> None:
    """Remove a folder that has nothing in it; a bucket has no folders to remove."""
    if isinstance(folder, Path):
        with explained(folder), contextlib.suppress(FileNotFoundError):
            if not os.listdir(folder):
                folder.rmdir()
