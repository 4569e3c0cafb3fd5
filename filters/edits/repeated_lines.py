"""Take out the lines that stand in many documents of one site: menus, notices, footers.

Two passes. The first counts, for each host, in how many documents a line stands (`keys`); the
second takes out the lines that reach `min_documents`, from every document of that host: the one
that kept them would be chosen by chance. A line is what str.splitlines() gives; it goes with its
line break, the others stay byte for byte. Lines are compared stripped, by a 64-bit hash of host and
line, so that two lines of one site in 2^64 are taken for one. Documents without a URL are no site's
and stay.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from filters.edits.edited import LINE, Edited, Integers, change_table, large_strings, texts_of
from filters.errors import FilterError
from filters.hosts import host_of
from filters.kernels.characters import table
from filters.text import TextBatch

Keys = npt.NDArray[np.uint64]

KIND: Final = "repeated_line"


class RepeatedLines(BaseModel):
    """From when on a line counts as repeated."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    min_documents: int = Field(default=5, ge=2)
    """Documents of one host that hold the line."""
    min_characters: int = Field(default=10, ge=1)
    """Shorter lines are never counted: "}" and "Yes." say nothing about a site."""

    def keys(self, documents: pa.Table) -> Keys:
        """Return the key of each line of each document, once a document, in ascending order."""
        batch = TextBatch.of(texts_of(documents))
        texts, _, _, keys = self._lines(batch, documents)
        order = np.lexsort((texts, keys))
        texts, keys = texts[order], keys[order]
        first = np.ones(len(keys), dtype=np.bool_)
        first[1:] = (keys[1:] != keys[:-1]) | (texts[1:] != texts[:-1])
        return keys[first]

    def _lines(
        self, batch: TextBatch, documents: pa.Table
    ) -> tuple[Integers, Integers, Integers, Keys]:
        from filters.kernels.line_removal import line_keys

        if "url" not in documents.column_names:
            raise FilterError(
                "repeated lines are counted by site, and the documents have no column `url` "
                f"(found: {', '.join(documents.column_names)}); add it, or leave this edit out"
            )
        hosts = np.array([_host_key(url) for url in documents["url"].to_pylist()], dtype=np.uint64)
        lines: tuple[Integers, Integers, Integers, Keys] = line_keys(
            batch.data, batch.offsets, hosts, table(), self.min_characters
        )
        return lines


@dataclass(frozen=True)
class RepeatedLineRemoval:
    """The second pass. `documents_of(keys)` says in how many documents each line stands.

    `keys` are ascending and different; what it does not know as repeated stands in 0.
    """

    config: RepeatedLines
    documents_of: Callable[[Keys], Integers]

    def apply(self, documents: pa.Table) -> Edited:
        """Return the texts without the repeated lines, which the changes name and count."""
        from filters.kernels.line_removal import without

        batch = TextBatch.of(texts_of(documents))
        texts, starts, stops, keys = self.config._lines(batch, documents)
        different, which = np.unique(keys, return_inverse=True)
        counts = self.documents_of(different)[which]
        gone = counts >= self.config.min_documents
        texts, starts, stops, counts = texts[gone], starts[gone], stops[gone], counts[gone]
        data, offsets = without(batch.data, batch.offsets, texts, starts, stops)
        rows, at, lines = np.unique(texts, return_index=True, return_counts=True)
        sizes = np.add.reduceat(stops - starts, at) if len(rows) else np.zeros(0, dtype=np.int64)
        changes = change_table(
            rows,
            [KIND] * len(rows),
            lines,
            sizes,
            np.zeros(len(rows), dtype=np.int64),
            _lists(batch, starts, stops, counts, lines),
        )
        return Edited(large_strings(data, offsets), changes)


def _lists(
    batch: TextBatch, starts: Integers, stops: Integers, counts: Integers, sizes: Integers
) -> pa.Array:
    """Return the removed lines of each changed text, with the documents that hold them."""
    ranges = zip(starts.tolist(), stops.tolist(), strict=True)
    lines = pa.array(
        [batch.data[start:stop].tobytes().decode().strip() for start, stop in ranges],
        pa.large_string(),
    )
    values = pa.StructArray.from_arrays([lines, pa.array(counts, pa.int64())], fields=list(LINE))
    ends = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), values)


def _host_key(url: str | None) -> int:
    """Return a number for the host of a URL, 0 where there is none."""
    host = host_of(url)
    return xxhash.xxh3_64_intdigest(host.encode()) or 1 if host else 0
