"""Candidate pairs from a bucket file: rows that share a band, without a pair for every two.

In a bucket of up to 16 different texts every two are a pair. In a larger one each text is paired
with the first and with its four predecessors in the order (longest first, then hash of the id), so
pairs grow linearly, and the order, thus the pairs, does not depend on where rows came from.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
_SMALL = 16
_NEAREST = 4


class Sketches(NamedTuple):
    """Rows of a bucket file, as columns of one length."""

    hash: Hashes
    """Of a band, or half of the exact key."""
    tag: Hashes
    """The other half of the exact key: rows of one hash and one tag are copies byte by byte."""
    address: Integers
    """Names the document within this stage."""
    length: Integers
    """Bytes of its text."""
    key: Hashes
    """Hash of its id: decides where lengths are equal."""

    def rows(self, at: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "Sketches":
        """Return chosen rows."""
        return Sketches(
            self.hash[at], self.tag[at], self.address[at], self.length[at], self.key[at]
        )


def repeated(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Return which of N hashes stand more than once: few do, and only they need be sorted fully."""
    order = np.argsort(hashes)
    first = _firsts(hashes[order])
    alone = first & np.append(first[1:], True)
    again = np.empty(len(hashes), dtype=np.bool_)
    again[order] = ~alone
    return again


def exact_pairs(sketches: Sketches) -> tuple[Integers, Integers]:
    """Return addresses of byte-equal documents as stars: the first of each group with each other.

    `sketches` hold one row a document, `hash` and `tag` its whole exact key.
    """
    ordered = sketches.rows(
        np.lexsort((sketches.address, sketches.key, sketches.tag, sketches.hash))
    )
    first = _firsts(ordered.hash, ordered.tag)
    begin = np.flatnonzero(first)[np.cumsum(first) - 1]
    others = np.flatnonzero(~first)
    return ordered.address[begin[others]], ordered.address[others]


def near_pairs(sketches: Sketches) -> tuple[Integers, Integers]:
    """Return addresses of pairs to compare, the longer text first; copies are represented by one.

    A pair stands once for every band it shares.
    """
    by_text = sketches.rows(
        np.lexsort((sketches.address, sketches.key, sketches.tag, sketches.hash))
    )
    texts = by_text.rows(_firsts(by_text.hash, by_text.tag))
    texts = texts.rows(np.lexsort((texts.address, texts.key, -texts.length, texts.hash)))
    starts = np.flatnonzero(_firsts(texts.hash))
    sizes = np.diff(np.append(starts, len(texts.hash)))
    size, begin = np.repeat(sizes, sizes), np.repeat(starts, sizes)
    place = np.arange(len(texts.hash)) - begin
    left, right = [], []
    for distance in range(1, _SMALL):
        at = np.flatnonzero((place >= distance) & ((distance <= _NEAREST) | (size <= _SMALL)))
        if not len(at):
            break
        left.append(at - distance)
        right.append(at)
    far = np.flatnonzero((place > _NEAREST) & (size > _SMALL))
    left.append(begin[far])
    right.append(far)
    return texts.address[np.concatenate(left)], texts.address[np.concatenate(right)]


def _firsts(*columns: Hashes) -> npt.NDArray[np.bool_]:
    """Return which rows of sorted columns differ from the row before."""
    first = np.ones(len(columns[0]), dtype=np.bool_)
    if len(first):
        first[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return first
