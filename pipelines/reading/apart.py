"""Cut records out of a file in a process of its own: a library may crash on what it is given.

Parquet and Arrow are decoded by native code before there is a record, so a crash there belongs to a
part of a file, not to a record. What precedes it in its row group or batch is kept, the rest of
that is told of as damage, and the next one is read; any other portion ends there.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from pipelines.deaths import CrashError
from pipelines.reading.portion import Portion, Reading
from pipelines.reading.raw import Raw
from pipelines.reading.readers import cut
from pipelines.reading.records import Record, damage
from pipelines.reading.splitting import Piece

_MANY = 256
_BYTES = 1 << 20
"""Records are sent together until there are so many of them, or raw ones are so large."""


class Step(NamedTuple):
    """The next records that are wanted: of a portion that is begun, or (none) of the last one."""

    portion: Portion | None
    skipped: int = 0
    most: int = _MANY


class Cutter:
    """What runs in the other process."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._found: Iterator[Record | Raw] = iter(())

    def __call__(self, step: Step) -> list[Record | Raw]:
        """Return the next records of a portion, none at its end."""
        if step.portion is not None:
            self._found = islice(cut(step.portion, self._reading), step.skipped, None)
        together: list[Record | Raw] = []
        size = 0
        for found in self._found:
            together.append(found)
            size += len(found.content if isinstance(found, Raw) else found.text)
            if len(together) >= step.most or size >= _BYTES:
                break
        return together


class CutApart:
    """Cuts portions as `cut` does, in processes that may die of it."""

    def __init__(
        self,
        pieces: Callable[[Portion], list[Piece]],
        cutter: Callable[[Step], list[Record | Raw]],
    ) -> None:
        """`pieces` is `pieces_of` and `cutter` a Cutter, each in a process of its own."""
        self._pieces, self._cutter = pieces, cutter

    def __call__(self, portion: Portion, _reading: Reading) -> Iterator[Record | Raw]:
        """Yield the records of a portion, and damage wherever the process that read them died."""
        try:
            pieces = self._pieces(portion)
        except CrashError as error:
            yield damage(portion.file, f"the portion at {portion.start}", str(error), "byte 0")
            return
        for piece in pieces:
            yield from self._piece(piece)

    def _piece(self, piece: Piece) -> Iterator[Record | Raw]:
        yielded, step = 0, Step(piece.portion)
        while True:
            try:
                together = self._cutter(step)
            except CrashError as error:
                if step.most > 1:  # what it had read is wanted: again, and one record at a time
                    step = Step(piece.portion, yielded, 1)
                    continue
                reached = f"record {yielded:,} of {piece.name}"
                yield damage(piece.portion.file, piece.name, str(error), reached)
                return
            if not together:
                return
            yield from together
            yielded += len(together)
            step = step._replace(portion=None)
