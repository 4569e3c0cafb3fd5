"""Open the bytes of a listed file, on this machine or on a server."""

from typing import BinaryIO

from pipelines.errors import InputError
from pipelines.listed_files import SourceFile
from pipelines.remote.copies import checked_copy
from pipelines.remote.ranges import open_ranges

_BUFFER = 1 << 18


def opened(file: SourceFile) -> BinaryIO:
    """Return the file open for reading, at its beginning; the caller closes it.

    On a server it is read by ranges; where that is not served, from a copy that was compared with
    what was listed and is gone when it is closed.

    Raises:
        FileNotFoundError: the file is gone.
        InputError: it may not be read, or a server refuses it or holds something else now.
    """
    if not file.is_remote:
        try:
            return open(file.uri, "rb", buffering=_BUFFER)
        except PermissionError as error:
            raise InputError(
                f"source: cannot read {file.uri}: {error.strerror}. Change its permissions, or "
                "name the files beside it."
            ) from error
    if file.has_ranges:
        return open_ranges(file.uri, file.bytes)
    with checked_copy(file) as copy:
        return copy.open("rb", buffering=_BUFFER)  # an open file outlives its name
