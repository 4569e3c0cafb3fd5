"""Every random number of training, as a pure function of (seed, purpose, step, index).

Philox is counter-based: the address of a draw is its counter, so no state is carried, saved or
restored, and a draw does not know how many workers there are.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.uint64]

_ROUNDS = 6
_SMALLEST_HALF_BITS = 4  # below 2^8 points a Feistel network reaches too few permutations


class Purpose(IntEnum):
    """What a draw is for; part of its address, so purposes never share a stream."""

    LENGTH = 1
    NOISE_LEVEL = 2
    MASK = 3
    ORDER = 4
    TURN = 5


def uniforms(seed: int, purpose: Purpose, step: int, index: int, count: int) -> NDArray[np.float64]:
    """Return `count` numbers in [0, 1); a longer draw begins with the shorter one."""
    # The bits are turned into floats here because numpy promises a stable bit stream (NEP 19),
    # not stable distributions.
    mantissas = _raw(seed, purpose, step, index, count) >> np.uint64(11)
    return mantissas.astype(np.float64) * 2.0**-53


def shuffled(positions: Positions, size: int, *, seed: int, epoch: int) -> Positions:
    """Map positions in [0, size) through the epoch's permutation of [0, size).

    A Feistel network with cycle walking: any position in O(1), without the 4.5 GB an explicit
    permutation of the paper's 561 M sequences would hold in every worker.
    """
    half = np.uint64(max(_SMALLEST_HALF_BITS, (int(size - 1).bit_length() + 1) // 2))
    keys = _raw(seed, Purpose.ORDER, epoch, 0, _ROUNDS)
    image = _feistel(positions.astype(np.uint64), half, keys)
    while (outside := image >= size).any():
        image[outside] = _feistel(image[outside], half, keys)
    return image


def _raw(seed: int, purpose: Purpose, step: int, index: int, count: int) -> Positions:
    # Philox counts upwards from the lowest word: 2^64 draws before it could touch `index`.
    bits = np.random.Philox(key=[seed, int(purpose)], counter=[0, 0, index, step])
    return bits.random_raw(count)


def _feistel(points: Positions, half: np.uint64, keys: Positions) -> Positions:
    low = np.uint64((1 << int(half)) - 1)
    left, right = points >> half, points & low
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & low)
    return (left << half) | right


def _mix(words: Positions) -> Positions:
    """Scramble 64-bit words (the finaliser of SplitMix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
