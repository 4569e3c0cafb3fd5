"""A file on a server as a file that can be read anywhere: each read fetches its bytes alone."""

import io
from typing import Any, BinaryIO

from pipelines.errors import InputError
from pipelines.remote.addresses import filesystem, patient, range_options

_WINDOW = 1 << 20
"""What is fetched at least and held: a request costs tens of milliseconds, and readers of
compressed records step back a little again and again."""
_BUFFER = 1 << 16


class RangeFile(io.RawIOBase):
    """Reads a file of known size by ranges; nothing is written to disk."""

    def __init__(self, address: str, size: int) -> None:
        super().__init__()
        self._fs = filesystem(address)
        self._address, self._size = address, size
        self._place: str = self._fs._strip_protocol(address)
        self._at = 0
        self._window, self._window_start = b"", 0

    def readable(self) -> bool:
        """Say that this is a file to read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from anywhere."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Begin the next read elsewhere."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the file goes.

        Raises:
            InputError: the file is gone or shorter than it was listed.
            UnreachableError: the server does not answer.
        """
        view = memoryview(buffer).cast("B")
        count = min(len(view), self._size - self._at)
        if count <= 0:
            return 0
        held = self._held(count)
        view[: len(held)] = held
        self._at += len(held)
        return len(held)

    def _held(self, count: int) -> memoryview:
        """Return up to `count` bytes from where the file is at, fetched where they are not held."""
        skip = self._at - self._window_start
        if not 0 <= skip < len(self._window):
            stop = min(self._size, self._at + max(count, _WINDOW))
            self._window, self._window_start = self._fetch(self._at, stop), self._at
            skip = 0
        return memoryview(self._window)[skip : skip + count]

    def _fetch(self, start: int, stop: int) -> bytes:
        options = range_options(self._address)
        content: bytes = patient(
            lambda: self._fs.cat_file(self._place, start=start, end=stop, **options), self._address
        )
        if len(content) != stop - start:
            raise InputError(
                f"{self._address}: asked for {stop - start:,} bytes at {start:,}, the server sent "
                f"{len(content):,}: the file changed after it was listed. Run again: the plan will "
                "list what is there now."
            )
        return content


def open_ranges(address: str, size: int) -> BinaryIO:
    """Return a file on a server open for reading, at its beginning; the caller closes it."""
    return io.BufferedReader(RangeFile(address, size), _BUFFER)
