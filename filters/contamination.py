"""Benchmark items in training text: by n-grams, short items by the whole line, proven by the text.

An item's field of at least n tokens is looked for by its n-grams (13 as in Brown et al. 2020,
appendix C); its overlap is the share of its different n-grams that stand in a document. A shorter
field counts where a document has it between two breaks: line ends, punctuation, the text's edges.
Grams that say too little, such as counting runs, count on neither side (filters/grams.py).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.grams import LEAST_DIFFERENT, Grams, Places, Tokens, fold
from filters.text import TextBatch, chunks

MOST_FIELDS: Final = 32
"""A gram of more fields is a benchmark's template ("put your final answer within"), no item's."""
_SHOWN = 500

FOUND: Final = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("benchmark", pa.string()),
        pa.field("benchmark_item", pa.string()),
        pa.field("benchmark_field", pa.string()),
        pa.field("feature", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("grams_found", pa.int64()),
        pa.field("grams", pa.int64()),
        pa.field("matched_begin", pa.int64()),
        pa.field("matched_end", pa.int64()),
        pa.field("matched", pa.large_string()),
    ]
)
"""One row for a document (`row` of the batch) and a field of an item that have a gram in common.
`value` = grams_found / grams. `text[matched_begin:matched_end]` is the longest common stretch and
begins with `matched` (500 characters). Feature: `benchmark_overlap`, for lines `benchmark_line`."""


class Item(NamedTuple):
    """One field of one benchmark item: what must not be learned."""

    benchmark: str
    item: str
    field: str
    text: str


class Hit(NamedTuple):
    """A row of FOUND without its `row`."""

    benchmark: str
    benchmark_item: str
    benchmark_field: str
    feature: str
    value: float
    grams_found: int
    grams: int
    matched_begin: int
    matched_end: int
    matched: str


@dataclass
class _Field:
    """A field that is looked for: the strings that prove a hit, made when they are first needed."""

    item: Item
    is_line: bool
    proofs: frozenset[str] | None = None


@dataclass
class BenchmarkIndex:
    """Finds the fields of benchmark items in texts.

    Memory: 12 bytes a slot at 2 to 4 slots a different gram, 8 bytes for its key, 4 for each field
    that has it, and the items' texts: about 80 bytes a gram, 80 MB for a million.
    """

    items: Sequence[Item]
    grams: Grams = field(default_factory=Grams)

    def __post_init__(self) -> None:
        from filters.kernels.contamination import hash_table

        self._longest_line = 0
        self._fields: list[_Field] = []
        self.left_out: Counter[tuple[str, str]] = Counter()
        """(benchmark, reason) -> fields nothing is looked for of: "too_short", "says_nothing", or
        "template" where every gram stands in more than MOST_FIELDS fields."""
        hashes: list[npt.NDArray[np.uint64]] = []
        batch = TextBatch.of(pa.array([item.text for item in self.items], pa.large_string()))
        for index, item in enumerate(self.items):
            found = self._hashes(batch, index, item)
            if len(found):
                hashes.append(found)
        owners = np.repeat(np.arange(len(hashes)), [len(found) for found in hashes])
        together = np.concatenate([np.empty(0, np.uint64), *hashes])
        _, rows, counts = np.unique(together, return_inverse=True, return_counts=True)
        rare = counts[rows] <= MOST_FIELDS
        self._keys, rows = np.unique(together[rare], return_inverse=True)
        by_row = np.argsort(rows, kind="stable")
        self._owners = owners[rare][by_row].astype(np.int32)
        self._ends = np.searchsorted(rows[by_row], np.arange(len(self._keys) + 1))
        self._slots, self._rows = hash_table(self._keys)
        looked_for = set(self._owners.tolist())
        self.searched = Counter(self._fields[owner].item.benchmark for owner in looked_for)
        """benchmark -> fields that are looked for."""
        for owner, field_ in enumerate(self._fields):
            self.left_out[field_.item.benchmark, "template"] += owner not in looked_for
        self.left_out = +self.left_out

    def _hashes(self, batch: TextBatch, index: int, item: Item) -> npt.NDArray[np.uint64]:
        """Return the different keys a field is found by; remember the field, or why it is not."""
        tokens = self.grams.tokens(batch, index)
        is_line = len(tokens.hashes) < self.grams.size
        found = np.unique(_keys_of(tokens, self.grams.size)[0])
        reason = "" if len(found) else "says_nothing"
        if is_line and len(fold(item.text).encode()) < self.grams.shortest:
            reason = "too_short"
        if reason:
            self.left_out[item.benchmark, reason] += 1
            return found[:0]
        self._fields.append(_Field(item, is_line))
        if is_line:
            self._longest_line = max(self._longest_line, len(tokens.hashes))
        return found

    def find(self, texts: pa.Array | pa.ChunkedArray) -> pa.Table:
        """Return what texts and benchmark items have in common, schema FOUND, by row."""
        from filters.kernels.contamination import count_found

        hits: list[dict[str, object]] = []
        first = 0
        for chunk in chunks(texts):
            batch = TextBatch.of(chunk)
            counts = count_found(
                batch.data,
                batch.offsets,
                *self.grams.tables(),
                self.grams.size,
                self._longest_line,
                self._slots,
                self._rows,
            )
            for index in np.flatnonzero(counts):
                hits += (
                    {"row": first + int(index), **hit._asdict()}
                    for hit in self._in(batch, int(index))
                )
            first += len(batch)
        return pa.Table.from_pylist(hits, schema=FOUND)

    def _in(self, batch: TextBatch, index: int) -> Iterator[Hit]:
        """Yield what one text has in common with each field, the greatest overlap first."""
        from filters.kernels.contamination import look_up

        tokens = self.grams.tokens(batch, index)
        keys = look_up(
            tokens.hashes,
            tokens.opens,
            self.grams.size,
            self._longest_line,
            self._slots,
            self._rows,
        )
        content = batch.bytes_of(index)
        places = Places(content, tokens)
        by_field: dict[int, list[tuple[int, int]]] = {}
        for key, begin, length in zip(*(column.tolist() for column in keys), strict=True):
            text = places.folded(begin, length)
            for owner in self._owners[self._ends[key] : self._ends[key + 1]].tolist():
                if text in self._proofs(self._fields[owner]):  # no false hit by equal hashes
                    by_field.setdefault(owner, []).append((begin, length))
        found = [self._hit(self._fields[owner], spans, places) for owner, spans in by_field.items()]
        yield from sorted(found, key=lambda hit: (-hit.value, *hit))

    def _hit(self, field_: _Field, spans: list[tuple[int, int]], places: Places) -> Hit:
        proofs = self._proofs(field_)
        found = len({places.folded(begin, length) for begin, length in spans})
        begin, end = places.characters(*_longest_run(spans))
        return Hit(
            benchmark=field_.item.benchmark,
            benchmark_item=field_.item.item,
            benchmark_field=field_.item.field,
            feature="benchmark_line" if field_.is_line else "benchmark_overlap",
            value=found / len(proofs),
            grams_found=found,
            grams=len(proofs),
            matched_begin=begin,
            matched_end=end,
            matched=places.text[begin : min(end, begin + _SHOWN)],
        )

    def _proofs(self, field_: _Field) -> frozenset[str]:
        """Return the folded grams of a field, or the one folded line."""
        if field_.proofs is None:
            batch = TextBatch.of_text(field_.item.text)
            tokens = self.grams.tokens(batch, 0)
            places = Places(batch.bytes_of(0), tokens)
            keys, firsts = _keys_of(tokens, self.grams.size)
            size = len(tokens.hashes) if field_.is_line else self.grams.size
            at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            wanted = firsts[self._keys[at] == keys].tolist()
            field_.proofs = frozenset(places.folded(first, size) for first in wanted)
        return field_.proofs


def _keys_of(tokens: Tokens, size: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Return the hashes a field is found by and the token each begins at: grams, or one line."""
    from filters.kernels.contamination import grams, line_hash, telling

    if len(tokens.hashes) < size:
        says = [] if tokens.bare.all() else [line_hash(tokens.hashes)]
        return np.array(says, np.uint64), np.zeros(len(says), np.int64)
    tells = telling(tokens.hashes, tokens.bare, size, LEAST_DIFFERENT)
    return grams(tokens.hashes, size)[tells], np.flatnonzero(tells)


def _longest_run(spans: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the longest stretch of tokens [first, last) that spans cover without a gap."""
    best = run = (0, 0)
    for begin, length in sorted(spans):
        run = (run[0], max(run[1], begin + length)) if begin <= run[1] else (begin, begin + length)
        if run[1] - run[0] > best[1] - best[0]:
            best = run
    return best
