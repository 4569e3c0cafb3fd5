"""Duplicates: exact ones by content hash, near ones by MinHash over word shingles, and clusters.

The settings are FineWeb's (datatrove examples/fineweb.py): shingles of 5 words, 14 bands of 8 rows.
A candidate pair agrees in a whole band; verify it with `jaccard` before anything is removed.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from filters.errors import FilterError
from filters.folding import folds
from filters.kernels.characters import table
from filters.text import TextBatch, chunks

Hashes = npt.NDArray[np.uint64]


def exact_keys(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return xxh3_128 of the UTF-8 bytes of each text, fixed_size_binary[16].

    No normalisation: texts share a key when they are equal byte by byte.
    """
    keys = [
        xxhash.xxh3_128_digest(batch.data[begin:end].data)
        for batch in map(TextBatch.of, chunks(texts))
        for begin, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
    ]
    return pa.array(keys, pa.binary(16))


@dataclass(frozen=True)
class MinHash:
    """A family of bands x rows hash functions over shingles of `shingle` words."""

    bands: int = 14
    rows: int = 8
    shingle: int = 5
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("bands", "rows", "shingle"):
            if getattr(self, name) < 1:
                raise FilterError(
                    f"MinHash {name} is {getattr(self, name)}; allowed: 1 or more; FineWeb has "
                    "14 bands, 8 rows, shingles of 5"
                )

    def signatures(self, texts: pa.Array | pa.ChunkedArray) -> Hashes:
        """Return the signature of each of N texts, uint64[N, bands * rows].

        Two signatures agree in a share of places that estimates the Jaccard similarity of the
        shingle sets. Words are normalised (filters/folding.py); a text shorter than one shingle
        is its own only shingle, unnormalised, so that "Chapter 1" is no duplicate of "Chapter 2".
        """
        from filters.kernels.shingles import batch_signatures  # numba takes a second to import

        random = np.random.Generator(np.random.PCG64(self.seed))
        largest = np.iinfo(np.uint64).max
        multipliers, increments = random.integers(
            largest, size=(2, self.bands * self.rows), dtype=np.uint64, endpoint=True
        )
        parts = [
            batch_signatures(
                batch.data,
                batch.offsets,
                table(),
                folds(),
                self.shingle,
                multipliers | np.uint64(1),
                increments,
            )
            for batch in map(TextBatch.of, chunks(texts))
        ]
        return np.concatenate([np.empty((0, self.bands * self.rows), dtype=np.uint64), *parts])

    def band_hashes(self, signatures: Hashes) -> Hashes:
        """Return one hash a band, uint64[N, bands]: equal in column b when band b agrees."""
        from filters.kernels.shingles import hash_bands

        if signatures.ndim != 2 or signatures.shape[1] != self.bands * self.rows:
            raise FilterError(
                f"signatures have shape {signatures.shape}; allowed: [N, {self.bands * self.rows}]"
                f" ({self.bands} bands x {self.rows} rows): make them with this same MinHash"
            )
        return hash_bands(np.ascontiguousarray(signatures), self.bands)

    def match_probability(self, similarity: float) -> float:
        """Return how likely two texts of this Jaccard similarity become candidates.

        The S-curve 1 - (1 - s**rows)**bands (Leskovec et al., Mining of Massive Datasets, 3.4).
        """
        return float(1 - (1 - similarity**self.rows) ** self.bands)

    def jaccard(self, text_a: str, text_b: str) -> float:
        """Return the Jaccard similarity of two texts' sets of shingles, counted, not estimated."""
        a, b = self.shingles(text_a), self.shingles(text_b)
        return len(a & b) / len(a | b)

    def shingles(self, text: str) -> set[int]:
        """Return the hashes of a text's shingles; never empty."""
        from filters.kernels.shingles import shingles

        batch = TextBatch.of_text(text)
        found = shingles(batch.data, 0, batch.offsets[-1], table(), folds(), self.shingle)
        return set(found.tolist())


Id = TypeVar("Id", str, int)


class UnionFind(Generic[Id]):
    """Clusters of ids, the same whatever the order of the unions; the smallest id names each."""

    def __init__(self) -> None:
        self._parents: dict[Id, Id] = {}

    def union(self, a: Id, b: Id) -> None:
        """Say that two ids belong together."""
        a, b = self.find(a), self.find(b)
        if a != b:
            self._parents[max(a, b)] = min(a, b)

    def find(self, member: Id) -> Id:
        """Return the smallest id of a member's cluster: itself for one never seen."""
        root = self._parents.setdefault(member, member)
        while self._parents[root] != root:
            root = self._parents[root]
        while member != root:
            self._parents[member], member = root, self._parents[member]
        return root

    def clusters(self) -> dict[Id, list[Id]]:
        """Return the sorted members of each cluster by its smallest id, in sorted order."""
        clusters: dict[Id, list[Id]] = {}
        for member in sorted(self._parents):
            clusters.setdefault(self.find(member), []).append(member)
        return clusters
