"""Duplicates: exact keys, MinHash families, candidates, true similarity, clusters, pieces.

A file a concept; what other packages use is named here.
"""

from filters.dedup.candidates import Sketches, exact_pairs, near_pairs, repeated
from filters.dedup.clusters import stars
from filters.dedup.curve import bands_for, draw_curve, match_probability
from filters.dedup.exact import exact_keys
from filters.dedup.minhash import MinHash, signature_columns
from filters.dedup.pieces import Pieces
from filters.dedup.similarity import ShingleSets, containment, jaccard

__all__ = [
    "MinHash",
    "Pieces",
    "ShingleSets",
    "Sketches",
    "bands_for",
    "containment",
    "draw_curve",
    "exact_keys",
    "exact_pairs",
    "jaccard",
    "match_probability",
    "near_pairs",
    "repeated",
    "signature_columns",
    "stars",
]
