"""Near duplicates by MinHash over word or character shingles.

The settings are FineWeb's (arXiv 2406.17557, 3.4): shingles of 5 words, 14 bands of 8 rows. A
candidate pair agrees in a whole band; measure it (similarity.py) before anything is removed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.dedup.curve import match_probability
from filters.dedup.exact import exact_keys
from filters.dedup.similarity import ShingleSets, containment, jaccard
from filters.errors import FilterError
from filters.folding import folds
from filters.kernels.characters import table
from filters.text import TextBatch, chunks

Hashes = npt.NDArray[np.uint64]
Signatures = npt.NDArray[np.uint32]
ShingleOf = Literal["words", "characters"]
_VERSION = 2
"""Moves when the same text would get other hashes: stored ones are then not used again."""


@dataclass(frozen=True)
class MinHash:
    """A family of bands x rows hash functions over shingles of `shingle` words or characters."""

    bands: int = 14
    rows: int = 8
    shingle: int = 5
    shingle_of: ShingleOf = "words"
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("bands", "rows", "shingle"):
            if getattr(self, name) < 1:
                raise FilterError(
                    f"MinHash {name} is {getattr(self, name)}; allowed: 1 or more; FineWeb has "
                    "14 bands, 8 rows, shingles of 5"
                )
        if self.shingle_of not in ("words", "characters"):
            raise FilterError(f"shingles of {self.shingle_of!r}; allowed: words, characters")

    def identity(self) -> Mapping[str, object]:
        """Return what two families must share for their band hashes to be comparable."""
        return {
            "bands": self.bands,
            "rows": self.rows,
            "shingle": self.shingle,
            "shingle_of": self.shingle_of,
            "seed": self.seed,
            "version": _VERSION,
        }

    def signatures(self, texts: pa.Array | pa.ChunkedArray) -> Signatures:
        """Return the signature of each of N texts, uint32[N, bands * rows].

        Two signatures agree in a share of places that estimates the Jaccard similarity of the
        shingle sets. Words are normalised (filters/folding.py); a text shorter than one shingle
        is its own only shingle, unnormalised, so that "Chapter 1" is no duplicate of "Chapter 2".
        """
        from filters.kernels.shingles import batch_signatures  # numba takes a second to import

        random = np.random.Generator(np.random.PCG64(self.seed))
        multipliers, increments = random.integers(
            1 << 32, size=(2, self.bands * self.rows), dtype=np.uint32
        )
        parts = [
            batch_signatures(
                batch.data,
                batch.offsets,
                table(),
                folds(),
                self.shingle,
                self.shingle_of == "words",
                multipliers | np.uint32(1),
                increments,
            )
            for batch in map(TextBatch.of, chunks(texts))
        ]
        return np.concatenate([np.empty((0, self.bands * self.rows), dtype=np.uint32), *parts])

    def band_hashes(self, signatures: Signatures) -> Hashes:
        """Return one hash a band, uint64[N, bands]: equal in column b when band b agrees."""
        from filters.kernels.shingles import hash_bands

        if signatures.ndim != 2 or signatures.shape[1] != self.bands * self.rows:
            raise FilterError(
                f"signatures have shape {signatures.shape}; allowed: [N, {self.bands * self.rows}]"
                f" ({self.bands} bands x {self.rows} rows): make them with this same MinHash"
            )
        return hash_bands(np.ascontiguousarray(signatures), self.bands)

    def match_probability(self, similarity: float) -> float:
        """Return how likely two texts of this Jaccard similarity become candidates (curve.py)."""
        return match_probability(similarity, self.bands, self.rows)

    def shingle_sets(self, texts: pa.Array | pa.ChunkedArray) -> ShingleSets:
        """Return the set of shingles of each text; none is empty."""
        from filters.kernels.shingles import batch_sets

        of_words = self.shingle_of == "words"
        parts = [
            ShingleSets(
                *batch_sets(batch.data, batch.offsets, table(), folds(), self.shingle, of_words)
            )
            for batch in map(TextBatch.of, chunks(texts))
        ]
        return ShingleSets.concatenated(parts)

    def jaccard(self, text_a: str, text_b: str) -> float:
        """Return the Jaccard similarity of two texts' sets of shingles, counted, not estimated."""
        return float(jaccard(*self._counted(text_a, text_b))[0])

    def containment(self, text_a: str, text_b: str) -> float:
        """Return the share of the smaller set of shingles that the other has too."""
        return float(containment(*self._counted(text_a, text_b))[0])

    def _counted(
        self, text_a: str, text_b: str
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        sets = self.shingle_sets(pa.array([text_a, text_b], pa.large_string()))
        return sets.overlaps(np.array([0]), np.array([1]))


def signature_columns(texts: pa.Array | pa.ChunkedArray, family: MinHash) -> pa.Table:
    """Return what dedup needs to know of N texts: `exact` (16 bytes) and `bands` (uint64 each).

    A stage that computes them in its own pass keeps them in its features files and
    `family.identity()` under "minhash" in its info: dedup then does not compute them again.
    """
    bands = family.band_hashes(family.signatures(texts))
    flat = pa.array(bands.reshape(-1))
    columns = {
        "exact": exact_keys(texts),
        "bands": pa.FixedSizeListArray.from_arrays(flat, family.bands),
    }
    return pa.table(columns)
