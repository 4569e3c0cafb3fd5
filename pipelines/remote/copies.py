"""Whole local copies of files on servers, for what cannot be read by ranges."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xxhash

from pipelines import storage
from pipelines.errors import InputError
from pipelines.listed_files import SourceFile
from pipelines.local_copies import user_cache
from pipelines.remote.addresses import ETAG, filesystem, patient
from pipelines.remote.listing import version_at


@contextmanager
def downloaded(address: str) -> Iterator[Path]:
    """Yield a copy of a file on a server, gone when the block ends.

    Raises:
        InputError: it is gone, access is refused, or the server cannot be reached.
    """
    fs = filesystem(address)
    with tempfile.TemporaryDirectory(prefix="llada-source-") as folder:
        local = Path(folder) / "file"
        patient(lambda: fs.get_file(fs._strip_protocol(address), str(local)), address)
        yield local


@contextmanager
def checked_copy(file: SourceFile) -> Iterator[Path]:
    """Yield a copy of a listed file that is what was listed; InputError where it is not."""
    with downloaded(file.uri) as local:
        if file.xxh3_128.startswith(ETAG):
            version = version_at(file.uri)
            same = (local.stat().st_size, version.name) == (file.bytes, file.xxh3_128)
        else:
            same = storage.hash_file(local) == file.xxh3_128
        if not same:
            raise InputError(
                f"{file.uri}: the file changed after it was listed ({file.bytes:,} bytes then, "
                f"{local.stat().st_size:,} now). Run again: the plan will list what is there now."
            )
        yield local


def kept_copy(file: SourceFile) -> Path:
    """Return a local path with the content of a listed file: where it lies, or a kept copy.

    For small files that are read more than once, such as lists of addresses and models.

    Raises:
        InputError: a file on a server is not what was listed, or cannot be read.
    """
    if not file.is_remote:
        return Path(file.uri)
    key = xxhash.xxh3_128_hexdigest(f"{file.uri}\0{file.bytes}\0{file.xxh3_128}".encode())
    kept = user_cache() / "sources" / key / os.path.basename(file.name)
    if not kept.is_file():
        with checked_copy(file) as local:
            kept.parent.mkdir(parents=True, exist_ok=True)
            arriving = kept.with_name(f".{kept.name}.{uuid.uuid4().hex[:8]}.tmp")
            shutil.copyfile(local, arriving)
            arriving.replace(kept)
    return kept
