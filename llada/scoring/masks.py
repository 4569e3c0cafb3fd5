"""Which tokens of the answers of one question are hidden: one noise for all of them.

Shapes: S samples, A answer length. Answers that meet the same noise differ by what they say, not by
which of their tokens happened to be hidden: differences come out with less variance than values
(common random numbers; used between two policies by VRPO, arXiv 2505.19223). And positions are
dealt like cards, none again before all have been, so that an estimate depends less on which ones
it happened to hide.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from llada.noise import mask_count

# Sample s is dealt from deck s mod 8. Eight steps of the golden ratio come back to nearly the same
# fraction: a deck serves samples of like mask counts one after the other.
DECKS = 8
_GOLDEN = (math.sqrt(5) - 1) / 2


class SharedNoise:
    """An endless series of masks for answers of any length up to one.

    Sample s hides the fraction (start + s * 0.618...) mod 1 of an answer, so that any first S
    samples are spread evenly over the mask counts, however soon one stops. Which positions it hides
    is dealt from its deck, whose shuffles put the positions of a short answer in the order in which
    they stand in a long one's.
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
        count_S = mask_count(self.fraction_S, length).tolist()
        order_SA = self._keys_SA[:, :length].argsort(-1).tolist()
        masked_SA = torch.zeros(len(count_S), length, dtype=torch.bool)
        for deck in range(DECKS):
            for sample, hand in enumerate(dealt(count_S[deck::DECKS], order_SA[deck::DECKS])):
                masked_SA[deck + sample * DECKS, hand] = True
        return masked_SA[first:]


def dealt(counts: Sequence[int], shuffles: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return hands of so many cards each, dealt one after the other from one deck.

    A hand that finds the deck used up goes on with the shuffle of its own number, in which the
    cards that it holds already go to the bottom. No hand holds a card twice. Nothing tells one card
    from another but the shuffles: where these are uniform, every hand of n is each set of n cards
    with equal chance, though not independently of the hands before it.
    """
    hands = []
    pile: list[int] = []
    for count, shuffle in zip(counts, shuffles, strict=True):
        hand, pile = pile[:count], pile[count:]
        if len(hand) < count:
            held, missing = set(hand), count - len(hand)
            fresh = [card for card in shuffle if card not in held]
            hand, pile = hand + fresh[:missing], fresh[missing:] + hand
        hands.append(hand)
    return hands


def every_mask(length: int) -> Tensor:
    """Return masked_SA: each of the 2^A - 1 sets of one position or more."""
    sets = list(itertools.product((False, True), repeat=length))
    return torch.tensor(sets[1:], dtype=torch.bool)


def every_weight(masked_SA: Tensor) -> Tensor:
    """Return what makes the sum over every mask the value of Eq. 6 (Eq. 14): 1 / (n C(A, n))."""
    length = masked_SA.shape[1]
    weight_A = [1.0 / (n * math.comb(length, n)) for n in range(1, length + 1)]
    return torch.tensor(weight_A, dtype=torch.float64)[masked_SA.sum(-1) - 1]
