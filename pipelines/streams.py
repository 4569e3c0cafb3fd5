"""Read a file as pieces or lines of bytes, decompressed on the way, in bounded memory."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import zstandard

PIECE = 1 << 16
_ZSTD_INPUT = 1 << 10
"""Compressed bytes given to zstd at once: its densest blocks turn them into 32 MiB, not more."""


class BrokenStreamError(Exception):
    """A stream that ends early or is damaged; `reached` says how far it could be read."""

    def __init__(self, reason: str, reached: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reached = reached


def pieces(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file piece by piece; .gz and .zst are decompressed.

    Raises:
        BrokenStreamError: the compressed stream is cut short, or fails its checksum; what
            precedes the damage has been yielded (zstd: up to its last _ZSTD_INPUT bytes).
        OSError: the file cannot be read at all.
    """
    suffix = path.suffix.lower()
    read = 0
    try:
        for piece in _OPENERS.get(suffix, _plain)(path):
            read += len(piece)
            yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise BrokenStreamError(str(error), f"{read:,} bytes") from error


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece


def _gzip(path: Path) -> Iterator[bytes]:
    _refuse_empty(path)
    with gzip.open(path) as stream:
        while piece := stream.read1(PIECE):  # not read(): it would lose what precedes an error
            yield piece


def _zstd(path: Path) -> Iterator[bytes]:
    _refuse_empty(path)
    frame, is_open = zstandard.ZstdDecompressor().decompressobj(), False
    with path.open("rb") as stream:
        while chunk := stream.read(_ZSTD_INPUT):
            while chunk:
                yield frame.decompress(chunk)
                is_open = not frame.eof
                chunk = frame.unused_data
                if not is_open:
                    frame = zstandard.ZstdDecompressor().decompressobj()
    if is_open:
        raise EOFError("the file ends before the end of its last zstd frame")


def _refuse_empty(path: Path) -> None:
    if path.stat().st_size == 0:
        raise EOFError("a compressed file has at least a header, this one has 0 bytes")


_OPENERS = {".gz": _gzip, ".zst": _zstd}


def lines(path: Path, most_bytes: int) -> Iterator[bytes | None]:
    """Yield the lines of a file without their line feed, None for one longer than `most_bytes`.

    A line that is too long is skipped, not kept: however little a file takes on disk, memory holds
    one line of at most `most_bytes`.

    Raises:
        BrokenStreamError: as `pieces`; a last line that was cut short is not yielded.
    """
    held: list[bytes] = []
    size = 0
    count = 0
    try:
        for piece in pieces(path):
            *ends, rest = piece.split(b"\n")
            for end in ends:
                yield _joined(held, end) if size + len(end) <= most_bytes else None
                held, size = [], 0
                count += 1
            size += len(rest)
            if size <= most_bytes:
                held.append(rest)
            else:
                held = []
    except BrokenStreamError as error:
        raise BrokenStreamError(error.reason, f"line {count:,}, {error.reached}") from error
    if size:
        yield _joined(held, b"") if size <= most_bytes else None


def _joined(held: list[bytes], end: bytes) -> bytes:
    return b"".join([*held, end])
