"""Compiled shingles of normalised words and their MinHash signatures."""

import numpy as np
import numpy.typing as npt

from filters.kernels.compiled import compiled, integer
from filters.kernels.words import Bytes, Hashes, Integers, decode, hash_bytes, mix, word_spans

Folds = npt.NDArray[np.int32]
Halves = npt.NDArray[np.uint32]
DROPPED = 0
"""Fold of a character that normalisation removes."""
ZERO = 0x30
"""Fold of every decimal digit; a run of them counts once."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_JOIN = np.uint64(0xC2B2AE3D27D4EB4F)
_SHORT = np.uint64(0x2545F4914F6CDD1D)
_LARGEST = np.uint32(0xFFFFFFFF)
_HALF = np.uint64(32)
_SPACE = 0x20


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
def folded_characters(data: Bytes, begin: int, end: int, properties: Bytes, folds: Folds) -> Hashes:
    """Return the characters of the words of a text after folding, one space between words."""
    starts, stops = word_spans(data, begin, end, properties)
    characters = np.empty(end - begin + starts.size, dtype=np.uint64)
    count = 0
    for word in range(starts.size):
        first = count
        after_digit = False
        at = integer(starts[word])
        while at < stops[word]:
            code, width = decode(data, at, stops[word])
            fold = integer(folds[code])
            at += width
            if fold == DROPPED or (fold == ZERO and after_digit):
                continue
            characters[count] = fold
            count += 1
            after_digit = fold == ZERO
        if count > first:
            characters[count] = _SPACE
            count += 1
    return characters[: max(count - 1, 0)]


@compiled
def shingles(  # noqa: PLR0917
    data: Bytes, begin: int, end: int, properties: Bytes, folds: Folds, size: int, of_words: bool
) -> Hashes:
    """Return a hash for every `size` consecutive words of a text, in order, repeats included.

    Or characters, where not `of_words`. A text of fewer is one shingle, of its bytes as they are.
    """
    if of_words:
        words = folded_words(data, begin, end, properties, folds)
    else:
        words = folded_characters(data, begin, end, properties, folds)
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
def batch_sets(  # noqa: PLR0917
    data: Bytes,
    offsets: Integers,
    properties: Bytes,
    folds: Folds,
    size: int,
    of_words: bool,
) -> tuple[Hashes, Integers]:
    """Return the sorted sets of shingles of N texts, one after another, and N + 1 offsets."""
    ends = np.zeros(offsets.size, dtype=np.int64)
    values = np.empty(offsets[-1] - offsets[0] + offsets.size, dtype=np.uint64)
    count = 0
    for document in range(offsets.size - 1):
        found = shingles(
            data, offsets[document], offsets[document + 1], properties, folds, size, of_words
        )
        found.sort()
        for at in range(found.size):
            if at == 0 or found[at] != found[at - 1]:
                values[count] = found[at]
                count += 1
        ends[document + 1] = count
    return values[:count].copy(), ends


@compiled
def batch_signatures(  # noqa: PLR0917
    data: Bytes,
    offsets: Integers,
    properties: Bytes,
    folds: Folds,
    size: int,
    of_words: bool,
    multipliers: Halves,
    increments: Halves,
) -> Halves:
    """Return for N texts the minimum of each of H hash functions over the shingles, uint32[N, H].

    Function h is x -> multipliers[h] * x + increments[h] modulo 2**32, multipliers odd, x the upper
    half of a shingle's hash. 32 bits, because processors multiply and compare eight or sixteen of
    them at once, and no 64-bit ones.
    """
    minima = np.full((offsets.size - 1, multipliers.size), _LARGEST, dtype=np.uint32)
    for document in range(offsets.size - 1):
        row = minima[document]
        found = shingles(
            data, offsets[document], offsets[document + 1], properties, folds, size, of_words
        )
        for at in range(found.size):
            shingle = np.uint32(found[at] >> _HALF)
            for function in range(row.size):
                value = np.uint32(multipliers[function] * shingle + increments[function])
                row[function] = min(row[function], value)
    return minima


@compiled
def hash_bands(signatures: Halves, bands: int) -> Hashes:
    """Return one hash a band of each signature, uint64[N, bands]; equal bands of two differ."""
    rows = signatures.shape[1] // bands
    hashes = np.empty((signatures.shape[0], bands), dtype=np.uint64)
    for document in range(signatures.shape[0]):
        for band in range(bands):
            value = np.uint64(band)
            for row in range(rows):
                value = mix(value * _JOIN + np.uint64(signatures[document, band * rows + row]))
            hashes[document, band] = value
    return hashes
