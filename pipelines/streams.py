"""Read an open file as pieces or lines of bytes, decompressed on the way, in bounded memory."""

import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import zstandard

PIECE = 1 << 16
_ZSTD_INPUT = 1 << 10
"""Compressed bytes given to zstd at once: its densest blocks turn them into 32 MiB, not more."""
_LARGE_WINDOW = "Frame requires too much memory"
"""What zstd says of it."""
MOST_RATIO = 200
"""Text compresses 3 to 20 times, logs up to a hundred; gzip's limit, for zeros, is 1,032."""
UNSUSPECTED = 256 << 20
"""Decompressed bytes below which no ratio is held against a file."""


class BrokenStreamError(Exception):
    """A stream that ends early or is damaged; `reached` says how far it could be read."""

    def __init__(self, reason: str, reached: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reached = reached


class BombError(Exception):
    """A stream that grows out of proportion when it is decompressed."""


def check_growth(compressed: int, decompressed: int) -> None:
    """Raise BombError where so many decompressed bytes cannot come of honest content."""
    if decompressed > UNSUSPECTED and decompressed > MOST_RATIO * compressed:
        raise BombError(
            f"{compressed:,} compressed bytes became {decompressed:,}, more than {MOST_RATIO} "
            "times as many: a decompression bomb, not content"
        )


def suffix_of(name: str) -> str:
    """Return ".gz" or ".zst" where a name says that the file is compressed so, else ""."""
    return next((suffix for suffix in _OPENERS if name.lower().endswith(suffix)), "")


def pieces(stream: BinaryIO, suffix: str) -> Iterator[bytes]:
    """Yield the bytes of a file piece by piece; ".gz" and ".zst" are decompressed.

    Raises:
        BrokenStreamError: the compressed stream is cut short, fails its checksum or is a bomb;
            what precedes the damage has been yielded (zstd: up to its last _ZSTD_INPUT bytes).
        OSError: the file cannot be read at all.
    """
    read = 0
    try:
        for piece in _OPENERS.get(suffix, _plain)(stream):
            read += len(piece)
            if suffix:
                check_growth(stream.tell(), read)
            yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError, BombError) as error:
        raise BrokenStreamError(_reason(error), f"{read:,} bytes") from error


def _reason(error: Exception) -> str:
    if _LARGE_WINDOW not in str(error):
        return str(error)
    return (
        "the file is compressed with a window of more than 128 MiB, which a reader must hold in "
        "memory; compress it again: zstd -d --long=31 FILE, then zstd without --long or --ultra"
    )


def _plain(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(PIECE):
        yield piece


def _gzip(stream: BinaryIO) -> Iterator[bytes]:
    is_empty = True
    with gzip.GzipFile(fileobj=stream) as inflated:
        while piece := inflated.read1(PIECE):  # not read(): it would lose what precedes an error
            is_empty = False
            yield piece
    if is_empty:
        _refuse_empty(stream)


def _zstd(stream: BinaryIO) -> Iterator[bytes]:
    frame, is_open = zstandard.ZstdDecompressor().decompressobj(), False
    while chunk := stream.read(_ZSTD_INPUT):
        while chunk:
            yield frame.decompress(chunk)
            is_open = not frame.eof
            chunk = frame.unused_data
            if not is_open:
                frame = zstandard.ZstdDecompressor().decompressobj()
    if is_open:
        raise EOFError("the file ends before the end of its last zstd frame")
    _refuse_empty(stream)


def _refuse_empty(stream: BinaryIO) -> None:
    if stream.tell() == 0:
        raise EOFError("a compressed file has at least a header, this one has 0 bytes")


_OPENERS = {".gz": _gzip, ".zst": _zstd}


class Line(NamedTuple):
    """A line without its line feed, None where it is too long, and where it begins."""

    offset: int
    """In bytes of the (decompressed) file."""
    content: bytes | None


def lines(
    stream: BinaryIO, suffix: str, most_bytes: int, start: int = 0, stop: int | None = None
) -> Iterator[Line]:
    """Yield the lines that begin in [start, stop) of a file.

    A line that is longer than `most_bytes` is skipped, not kept: however little a file takes on
    disk, memory holds one line of at most `most_bytes`. Only a file that is not compressed can be
    read from the middle.

    Raises:
        BrokenStreamError: as `pieces`; a last line that was cut short is not yielded.
    """
    assert not (start and suffix), suffix
    if start:
        stream.seek(start - 1)  # a line begins at `start` where a line feed precedes it
    begin, skipping = max(0, start - 1), start > 0
    held: list[bytes] = []
    size = 0
    try:
        for piece in pieces(stream, suffix):
            *ends, rest = piece.split(b"\n")
            for end in ends:
                length = size + len(end)
                if not skipping:
                    yield Line(begin, b"".join([*held, end]) if length <= most_bytes else None)
                held, size, skipping = [], 0, False
                begin += length + 1
                if stop is not None and begin >= stop:
                    return
            size += len(rest)
            if skipping and stop is not None and begin + size >= stop:
                return
            if size <= most_bytes and not skipping:
                held.append(rest)
            else:
                held = []
    except BrokenStreamError as error:
        raise BrokenStreamError(error.reason, f"byte {begin:,}, {error.reached}") from error
    if size and not skipping:
        yield Line(begin, b"".join(held) if size <= most_bytes else None)
