"""Real texts again and again, until there is as much as a benchmark asks for; no two are the same.

Every copy has a word of its own after each "and", and a last line with its number: what remembers
texts, or removes copies, gains nothing by the repetition.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import schemas

UNIT = 8 << 20
"""Bytes of text in a file: what the extract stage makes a unit of."""
SIZES = {"MB": 10**6, "GB": 10**9}
_LETTERS = "bcdfghjklmnpqrstvwxz"


def bytes_of(size: str) -> int:
    """Return the bytes that "10MB" or "1GB" means.

    Raises:
        SystemExit: it is written in another way.
    """
    number, unit = size[:-2], size[-2:]
    if unit not in SIZES or not number.isdecimal():
        raise SystemExit(f"{size!r} is no size: write 10MB or 1GB")
    return int(number) * SIZES[unit]


def write_units(
    files: Sequence[Path], wanted: int, folder: Path, unit_bytes: int = UNIT
) -> list[Path]:
    """Write documents of `wanted` bytes of text as numbered Parquet files of a unit each."""
    rows: list[dict[str, str]] = []
    held = written = 0
    units: list[Path] = []
    for number, text in enumerate(_texts(files)):
        rows.append({"doc_id": f"{number:032x}", "text": text})
        held += len(text.encode())
        if held < unit_bytes and written + held < wanted:
            continue
        units.append(folder / f"{len(units):06d}.parquet")
        table = pa.Table.from_pylist(rows, schema=schemas.DOCUMENT)
        pq.write_table(table, units[-1], compression="zstd")
        written, rows, held = written + held, [], 0
        if written >= wanted:
            break
    return units


def _texts(files: Sequence[Path]) -> Iterator[str]:
    found = [
        text for file in files for text in pq.read_table(file, columns=["text"])["text"].to_pylist()
    ]
    if not any(found):
        raise SystemExit("no text in these files: a column `text` is read")
    for copy in count():
        word = _word(copy)
        for text in found:
            yield f"{text.replace(' and ', f' and {word} ')}\n{word}" if copy else text


def _word(number: int) -> str:
    letters = ""
    while number:
        number, at = divmod(number, len(_LETTERS))
        letters += "aeiou"[at % 5] + _LETTERS[at]
    return letters
