"""What is read must be what was listed: files are compared with the listing before they are read.

A whole file is hashed by the worker that reads it. A file that was cut is hashed once, when it is
cut; its workers compare size and time of change instead, because hashing all of it for each of its
parts would cost more than reading them. A file on a server is compared by the version that the
server names, before and after it is read; one without versions when it is copied.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from pipelines import storage
from pipelines.errors import InputError
from pipelines.listed_files import SourceFile
from pipelines.reading.portion import Portion
from pipelines.remote.listing import version_at


def stamped(portions: Sequence[Portion]) -> list[Portion]:
    """Return the portions of one local file with the time of change it has now.

    Raises:
        InputError: the file is gone, or its content is not what was listed.
    """
    file = portions[0].file
    if file.is_remote:
        _check_version(file)
        return list(portions)
    stamp = _status(file).st_mtime_ns
    _check_content(file)
    return [portion.model_copy(update={"stamp": stamp}) for portion in portions]


def check_unchanged(portion: Portion) -> None:
    """Raise InputError where a file is gone or is not what was listed."""
    if portion.file.is_remote:
        _check_version(portion.file)
        return
    if portion.stamp is None:
        _check_content(portion.file)
        return
    status = _status(portion.file)
    if (status.st_size, status.st_mtime_ns) != (portion.file.bytes, portion.stamp):
        raise _changed(portion.file, status.st_size)


def check_still_unchanged(portion: Portion) -> None:
    """Raise InputError where a file on a server was replaced while it was read by ranges."""
    if portion.file.is_remote:
        _check_version(portion.file)


def _check_version(file: SourceFile) -> None:
    if not file.has_ranges:
        return
    version = version_at(file.uri)
    if (version.bytes, version.name) != (file.bytes, file.xxh3_128):
        raise _changed(file, version.bytes or 0)


def _check_content(file: SourceFile) -> None:
    size = _status(file).st_size
    if size != file.bytes or storage.hash_file(Path(file.uri)) != file.xxh3_128:
        raise _changed(file, size)


def _status(file: SourceFile) -> os.stat_result:
    if not os.path.isfile(file.uri):
        raise InputError(
            f"{file.uri}: the file was listed and is gone. Put it back, or run again: the plan "
            "will list what is there now."
        )
    return os.stat(file.uri)


def _changed(file: SourceFile, size: int) -> InputError:
    return InputError(
        f"{file.uri}: the file changed after it was listed ({file.bytes:,} bytes then, {size:,} "
        "now). Run again: the plan will list what is there now."
    )
