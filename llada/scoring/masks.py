"""Which tokens of the answers of one question are hidden: one noise for all of them.

Shapes: S samples, A answer length. Answers that meet the same noise differ by what they say, not by
which of their tokens happened to be hidden: differences come out with less variance than values
(common random numbers; used between two policies by VRPO, arXiv 2505.19223).
"""

import itertools
import math
from typing import Self

import torch
from torch import Tensor

from llada.noise import exact_count_mask, mask_count

_GOLDEN = (math.sqrt(5) - 1) / 2


class SharedNoise:
    """An endless series of masks for answers of any length up to one.

    Sample s hides the fraction (start + s * 0.618...) mod 1 of an answer, so that any first S
    samples are spread evenly over the mask counts, however soon one stops; and it hides the
    positions of the smallest keys, the keys of a short answer being the first of a long one's.
    """

    def __init__(self, longest: int, seed: int) -> None:
        """Serve answers of up to `longest` tokens."""
        self._rng = torch.Generator().manual_seed(seed)
        self._start = torch.rand((), generator=self._rng, dtype=torch.float64).item()
        self._longest = longest
        self.fraction_S = torch.empty(0, dtype=torch.float64)
        self._keys_SA = torch.empty(0, longest)

    def extend(self, samples: int) -> Self:
        """Draw what is missing up to so many samples."""
        have = len(self.fraction_S)
        place_S = torch.arange(have, samples, dtype=torch.float64)
        fresh_S = (self._start + place_S * _GOLDEN) % 1.0
        self.fraction_S = torch.cat([self.fraction_S, fresh_S])
        keys_SA = torch.rand(len(fresh_S), self._longest, generator=self._rng)
        self._keys_SA = torch.cat([self._keys_SA, keys_SA])
        return self

    def masks(self, length: int, first: int) -> Tensor:
        """Return masked_SA of the samples from `first` on, for an answer of this length."""
        count_S = mask_count(self.fraction_S[first:], length)
        return exact_count_mask(self._keys_SA[first:, :length], count_S)


def every_mask(length: int) -> Tensor:
    """Return masked_SA: each of the 2^A - 1 sets of one position or more."""
    sets = list(itertools.product((False, True), repeat=length))
    return torch.tensor(sets[1:], dtype=torch.bool)


def every_weight(masked_SA: Tensor) -> Tensor:
    """Return what makes the sum over every mask the value of Eq. 6 (Eq. 14): 1 / (n C(A, n))."""
    length = masked_SA.shape[1]
    weight_A = [1.0 / (n * math.comb(length, n)) for n in range(1, length + 1)]
    return torch.tensor(weight_A, dtype=torch.float64)[masked_SA.sum(-1) - 1]
