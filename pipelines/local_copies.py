"""Local disk for what a store in a bucket cannot hold: caches, locks, folders that tools write."""

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import xxhash

from pipelines import object_store, storage
from pipelines.errors import StoreError
from pipelines.storage import StorePath


def user_cache() -> Path:
    """Return the folder of this user for what may be lost at any time."""
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "llada"


def home_of(store: StorePath) -> Path:
    """Return where databases and locks of a store lie: in the store, or here for a bucket."""
    return store if isinstance(store, Path) else user_cache() / _name(store)


def scratch(path: StorePath) -> Path:
    """Return the local folder to write what shall end as the folder `path`.

    On a local disk that is `path` itself. For a bucket it is the same folder for the same path,
    so that work which was interrupted is found again on this machine.
    """
    if isinstance(path, Path):
        return path
    return user_cache() / "scratch" / f"{path.parent.name}-{_name(path.parent)}" / path.name


def drop_scratch(path: StorePath) -> None:
    """Remove the scratch of a folder that is in its bucket now."""
    if not isinstance(path, Path):
        shutil.rmtree(scratch(path), ignore_errors=True)


def bring(source: Path, target: StorePath) -> storage.Written:
    """Make a finished local file the store's, durable; return its size and hash.

    Raises:
        StoreError: the disk or the server does not take it.
    """
    with storage.explained(target):
        if isinstance(target, Path):
            assert source == target  # what scratch() promises
            with source.open("rb+") as written:
                os.fsync(written.fileno())
            storage.fsync_folder(source.parent)
        else:
            object_store.upload(source, target)
        return storage.Written(source.stat().st_size, storage.hash_file(source))


@dataclass(frozen=True)
class Bundle:
    """Files of a store that are read together as one local folder; travels to workers."""

    files: tuple[tuple[str, str], ...]
    """(address, xxh3-128), all in one folder of the store."""

    def __post_init__(self) -> None:
        assert len({uri.rpartition("/")[0] for uri, _ in self.files}) == 1, self.files

    def folder(self) -> Path:
        """Return a local folder with the files: where they lie, or a copy kept by content.

        Raises:
            StoreError: a file cannot be read, or is not what its manifest promises.
        """
        first = storage.at(self.files[0][0])
        if isinstance(first, Path):
            return first.parent
        names = (f"{storage.at(uri).name}\0{digest}\0" for uri, digest in self.files)
        key = xxhash.xxh3_128("".join(names).encode())
        folder = user_cache() / "inputs" / key.hexdigest()
        for uri, digest in self.files:
            _keep(storage.at(uri), digest, folder)
        return folder


def _keep(path: StorePath, digest: str, folder: Path) -> None:
    kept = folder / path.name
    if kept.is_file() and storage.hash_file(kept) == digest:
        return
    with storage.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with storage.local(path) as copy:
            found = storage.hash_file(copy)
            if found != digest:
                raise StoreError(
                    f"{path}: the manifest promises the hash {digest}, found {found}. The artifact "
                    "was damaged after it was published: remove its folder and run again."
                )
            arriving = folder / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
            try:
                shutil.copyfile(copy, arriving)
                arriving.replace(kept)  # whole or not at all, for others that read it meanwhile
            finally:
                arriving.unlink(missing_ok=True)


def _name(path: StorePath) -> str:
    return xxhash.xxh3_64_hexdigest(f"{object_store.endpoint()} {path}".encode())
