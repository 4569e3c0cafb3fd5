"""The records of a WARC file as bytes, and where each begins: plain, or one gzip member each.

A file of gzip members can be read from the middle. A member's first byte is found by looking for
one that inflates to a WARC header, and believed when it and the members behind it fill more than
64 KiB or reach the end of the file: a WARC file *inside* a record of this one can look the same for
less than that, because DEFLATE stores bytes as they are in blocks of at most 65,535 (RFC 1951,
3.2.4). Where that is not enough, the file is walked from its beginning.
"""

import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from pipelines import streams
from pipelines.streams import BombError, BrokenStreamError

MAGIC = b"\x1f\x8b\x08"
_VERSION = b"WARC/"
_NEXT = b"\r\n\r\nWARC/1."
_MOST_HEADER = 64 << 10
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_PIECE = 16 << 10
_OUTPUT = 1 << 20
_PROOF = 64 << 10
_HEADER_PIECE = 8 << 10
_SCAN = 1 << 20


class Frame(NamedTuple):
    """A record's bytes, header and block; or, where `fault` says why, no record."""

    position: str
    """The byte where its gzip member begins; "+n" where n bytes of the member precede it."""
    content: bytes
    fault: str = ""
    is_damage: bool = False
    """Whether the file itself is damaged here, not one record."""


def frames(
    stream: BinaryIO, most_bytes: int, start: int = 0, stop: int | None = None
) -> Iterator[Frame]:
    """Yield the records of the members that begin in [start, stop); a plain file is one member."""
    if is_gzip(stream):
        yield from _gzip_frames(stream, most_bytes, start, stop)
        return
    stream.seek(start)
    feed = _Feed(streams.pieces(stream, ""), start)
    try:
        yield from _frames_of(feed, "", most_bytes, stop)
    except BrokenStreamError as error:
        yield Frame("end", b"", f"{error.reason}; it was readable up to {error.reached}", True)


def is_gzip(stream: BinaryIO) -> bool:
    """Say whether a file begins as gzip does; the stream is at its beginning afterwards."""
    stream.seek(0)
    beginning = stream.read(len(MAGIC))
    stream.seek(0)
    return beginning == MAGIC


def plain_starts(stream: BinaryIO) -> Iterator[int]:
    """Yield where the records of a file without compression begin, by their lengths alone.

    Ends where the lengths lead to something that is no record: the rest is not cut.
    """
    at = 0
    while True:
        stream.seek(at)
        beginning = stream.read(_HEADER_PIECE)
        blank = len(beginning) - len(beginning.lstrip(b"\r\n"))
        header = beginning.find(b"\r\n\r\n", blank)
        length = _LENGTH.search(beginning, blank, header + 1) if header >= 0 else None
        if length is None or not beginning.startswith(_VERSION, blank):
            return
        yield at + blank
        at += header + 4 + int(length.group(1))


def _gzip_frames(
    stream: BinaryIO, most_bytes: int, start: int, stop: int | None
) -> Iterator[Frame]:
    """Yield the members that begin in [start, stop) and those that follow them unrecognisably.

    Who begins to read at `stop` looks for a member that can be recognised; one whose beginning is
    damaged would be nobody's, so it belongs to whoever reads what precedes it.
    """
    at: int | None = _first_member(stream, start, stop) if start else 0
    while at is not None and (stop is None or at < stop or not _begins_a_record(stream, at)):
        here, member = at, _Member(stream, at)
        try:
            yield from _frames_of(_Feed(member.pieces(), 0), str(here), most_bytes, None)
            at = member.end
        except BrokenStreamError as error:
            reason = f"{error.reason}; it was readable up to byte {here:,}"
            yield Frame(f"{here} damaged", b"", reason, True)
            at = _next_proven(stream, here + 1, stop)


class _Member:
    """A gzip member; once its pieces are drawn, `end` is where the next begins, None at the end."""

    def __init__(self, stream: BinaryIO, start: int) -> None:
        self._stream, self._start = stream, start
        self.end: int | None = None

    def pieces(self) -> Iterator[bytes]:
        """Yield what the member holds; BrokenStreamError where it is cut short or damaged."""
        self._stream.seek(self._start)
        inflate = zlib.decompressobj(31)
        read = written = 0
        try:
            while not inflate.eof:
                data = inflate.unconsumed_tail
                if not data:
                    data = self._stream.read(_PIECE)
                    read += len(data)
                if not data:
                    raise BrokenStreamError("the file ends within a gzip member", "")
                piece = inflate.decompress(data, _OUTPUT)
                written += len(piece)
                streams.check_growth(read, written)
                yield piece
        except (zlib.error, BombError) as error:
            raise BrokenStreamError(str(error), "") from error
        rest = inflate.unused_data
        if rest or self._stream.read(1):
            self.end = self._start + read - len(rest)


class _Feed:
    """Bytes as they arrive, held from where the present record begins."""

    def __init__(self, pieces: Iterator[bytes], at: int) -> None:
        self._pieces = pieces
        self.at = at
        self.held = bytearray()

    def fill(self, size: int) -> bool:
        """Hold at least so many bytes; say whether there were as many."""
        while len(self.held) < size:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self.held += piece
        return True

    def find(self, mark: bytes, within: int) -> int:
        """Return where a mark begins, -1 where it does not begin within so many bytes."""
        looked = 0
        while True:
            found = self.held.find(mark, looked, within + len(mark))
            if found >= 0 or len(self.held) >= within + len(mark):
                return found
            looked = max(0, len(self.held) - len(mark) + 1)
            if not self.fill(len(self.held) + 1):
                return -1

    def skip(self, size: int) -> bool:
        """Drop so many bytes; say whether there were as many."""
        while size > len(self.held):
            size -= len(self.held)
            self.at += len(self.held)
            self.held.clear()
            if not self.fill(1):
                return False
        self.at += size
        del self.held[:size]
        return True

    def skip_to(self, mark: bytes) -> bool:
        """Drop everything before a mark; say whether it came."""
        while True:
            found = self.held.find(mark)
            if found >= 0:
                return self.skip(found)
            self.skip(max(0, len(self.held) - len(mark) + 1))
            if not self.fill(len(self.held) + 1):
                return False


def _frames_of(feed: _Feed, member: str, most_bytes: int, stop: int | None) -> Iterator[Frame]:
    """Yield the records of a member ("" for a plain file); draws it to its end."""
    while _skip_blank(feed):
        if stop is not None and feed.at >= stop:
            return
        position = f"{member}+{feed.at}" if member and feed.at else member or str(feed.at)
        header = feed.find(b"\r\n\r\n", _MOST_HEADER) + 4
        length = _LENGTH.search(bytes(feed.held[:header])) if header >= 4 else None
        if length is None or not feed.held.startswith(_VERSION):
            beginning = bytes(feed.held[:2000])
            yield Frame(position, beginning, "no WARC header with a length begins here")
            if not feed.skip_to(_NEXT):
                return
            continue
        size = header + int(length.group(1))
        if size > most_bytes:
            beginning = bytes(feed.held[:header])
            if not feed.skip(size):
                raise BrokenStreamError("the last record is cut short", position)
            yield Frame(position, beginning, f"the record is longer than {most_bytes:,} bytes")
            continue
        if not feed.fill(size):
            raise BrokenStreamError("the last record is cut short", position)
        yield Frame(position, bytes(feed.held[:size]))
        feed.skip(size)


def _skip_blank(feed: _Feed) -> bool:
    """Drop line ends between records; say whether something follows."""
    while feed.fill(1):
        if feed.held[0] not in b"\r\n":
            return True
        feed.skip(1)
    return False


def _first_member(stream: BinaryIO, start: int, stop: int | None) -> int | None:
    """Return the first member that begins in [start, stop), None where none does."""
    candidate = next(_candidates(stream, start, stop), None)
    if candidate is None or _is_proven(stream, candidate):
        return candidate
    at: int | None = 0  # a WARC file within a record, or damage: only the way itself tells
    while at is not None and (at < start or not _begins_a_record(stream, at)):
        here = at
        try:
            at = _end_of(stream, here)
        except BrokenStreamError:
            at = _next_proven(stream, here + 1, stop)
    return at


def _next_proven(stream: BinaryIO, start: int, stop: int | None) -> int | None:
    """Return where members go on behind damage."""
    return next((at for at in _candidates(stream, start, stop) if _is_proven(stream, at)), None)


def _candidates(stream: BinaryIO, start: int, stop: int | None) -> Iterator[int]:
    """Yield where a gzip member that inflates to a WARC header may begin in [start, stop)."""
    at = start
    while stop is None or at < stop:
        stream.seek(at)
        block = stream.read(_SCAN)
        found = block.find(MAGIC)
        while found >= 0:
            if stop is not None and at + found >= stop:
                return
            if _begins_a_record(stream, at + found):
                yield at + found
            found = block.find(MAGIC, found + 1)
        if len(block) < _SCAN:
            return
        at += len(block) - len(MAGIC) + 1


def _begins_a_record(stream: BinaryIO, at: int) -> bool:
    stream.seek(at)
    try:
        return zlib.decompressobj(31).decompress(stream.read(512), 64).startswith(_VERSION)
    except zlib.error:
        return False


def _is_proven(stream: BinaryIO, start: int) -> bool:
    at: int | None = start
    try:
        while at is not None and at - start <= _PROOF:
            at = _end_of(stream, at)
    except BrokenStreamError:
        return False
    return True


def _end_of(stream: BinaryIO, at: int) -> int | None:
    """Return where the member behind the one at `at` begins, None at the end of the file."""
    member = _Member(stream, at)
    for _ in member.pieces():
        pass
    return member.end
