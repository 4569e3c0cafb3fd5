"""Compiled shingles of normalised words and their MinHash signatures."""

import numpy as np
import numpy.typing as npt

from filters.kernels.compiled import compiled, integer
from filters.kernels.words import Bytes, Hashes, Integers, decode, hash_bytes, mix, word_spans

Folds = npt.NDArray[np.int32]
DROPPED = 0
"""Fold of a character that normalisation removes."""
ZERO = 0x30
"""Fold of every decimal digit; a run of them counts once."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_JOIN = np.uint64(0xC2B2AE3D27D4EB4F)
_SHORT = np.uint64(0x2545F4914F6CDD1D)
_LARGEST = np.uint64(0xFFFFFFFFFFFFFFFF)


@compiled
def folded_words(data: Bytes, begin: int, end: int, properties: Bytes, folds: Folds) -> Hashes:
    """Return the hash of each word of a text after folding; punctuation is no word."""
    starts, stops = word_spans(data, begin, end, properties)
    hashes = np.empty(starts.size, dtype=np.uint64)
    count = 0
    for word in range(starts.size):
        value = np.uint64(0)
        after_digit = False
        at = integer(starts[word])
        while at < stops[word]:
            code, width = decode(data, at, stops[word])
            fold = integer(folds[code])
            at += width
            if fold == DROPPED or (fold == ZERO and after_digit):
                continue
            value = value * _BASE + np.uint64(fold)
            after_digit = fold == ZERO
        if value:
            hashes[count] = mix(value)
            count += 1
    return hashes[:count]


@compiled
def shingles(  # noqa: PLR0917
    data: Bytes, begin: int, end: int, properties: Bytes, folds: Folds, size: int
) -> Hashes:
    """Return a hash for every `size` consecutive words of a text, in order, repeats included.

    A text of fewer words is one shingle, of its bytes as they are.
    """
    words = folded_words(data, begin, end, properties, folds)
    total = words.size - size + 1
    if total < 1:
        return np.full(1, mix(hash_bytes(data, begin, end) ^ _SHORT), dtype=np.uint64)
    grams = np.zeros(total, dtype=np.uint64)
    for offset in range(size):
        for first in range(total):
            grams[first] = grams[first] * _JOIN + words[first + offset]
    for first in range(total):
        grams[first] = mix(grams[first])
    return grams


@compiled
def batch_signatures(  # noqa: PLR0917
    data: Bytes,
    offsets: Integers,
    properties: Bytes,
    folds: Folds,
    size: int,
    multipliers: Hashes,
    increments: Hashes,
) -> Hashes:
    """Return for N texts the minimum of each of H hash functions over the shingles, uint64[N, H].

    Function h is x -> multipliers[h] * x + increments[h] modulo 2**64, multipliers odd.
    """
    minima = np.full((offsets.size - 1, multipliers.size), _LARGEST, dtype=np.uint64)
    for document in range(offsets.size - 1):
        row = minima[document]
        for shingle in shingles(
            data, offsets[document], offsets[document + 1], properties, folds, size
        ):
            for function in range(row.size):
                value = multipliers[function] * shingle + increments[function]
                row[function] = min(row[function], value)
    return minima


@compiled
def hash_bands(signatures: Hashes, bands: int) -> Hashes:
    """Return one hash a band of each signature, uint64[N, bands]; equal bands of two differ."""
    rows = signatures.shape[1] // bands
    hashes = np.empty((signatures.shape[0], bands), dtype=np.uint64)
    for document in range(signatures.shape[0]):
        for band in range(bands):
            value = np.uint64(band)
            for row in range(rows):
                value = mix(value * _JOIN + signatures[document, band * rows + row])
            hashes[document, band] = value
    return hashes
