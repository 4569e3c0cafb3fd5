"""Open the bytes of a listed file."""

from typing import BinaryIO

from pipelines.listed_files import SourceFile

_BUFFER = 1 << 18


def opened(file: SourceFile) -> BinaryIO:
    """Return the file open for reading, at its beginning; the caller closes it.

    Raises:
        FileNotFoundError: the file is gone.
    """
    return open(file.uri, "rb", buffering=_BUFFER)
