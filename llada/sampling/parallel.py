"""Parallel decoding: commit as many tokens in a step as the model is sure of.

Each rule scores candidates, like a remasking strategy, and says how many of the best are sure.
Shapes: B batch, N candidates a row, R candidates judged together, V vocabulary.
"""

from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor

from llada.sampling.remasking import low_confidence


class Threshold(BaseModel):
    """Commit whatever is more probable than the threshold (Fast-dLLM, arXiv 2505.22618).

    If each of n tokens has a probability above 1 - 1 / (n + 1), the greedy choice of all together
    is that of one after the other (Theorem 1 there): 0.9 is safe for up to nine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Annotated[float, Field(gt=0.0, le=1.0)]

    def score(self, logits_RV: Tensor, chosen_R: Tensor, rng: torch.Generator | None) -> Tensor:
        """Return the probability of each choice."""
        return low_confidence(logits_RV, chosen_R, rng)

    def sure(self, score_BN: Tensor) -> Tensor:
        """Return how many candidates of each row are above the threshold, count_B."""
        return (score_BN > self.threshold).sum(1)


class EntropyBound(BaseModel):
    """Commit the least uncertain while their entropies, the largest aside, add up to the bound.

    In nats. The sum bounds how far the joint distribution is from the product that is sampled
    (EB-Sampler, arXiv 2505.24857); a bound of 0 commits one token, unless others are certain.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    entropy: NonNegativeFloat

    def score(self, logits_RV: Tensor, _chosen_R: Tensor, _rng: torch.Generator | None) -> Tensor:
        """Return minus the entropy of each distribution, in nats."""
        entropy_R: Tensor = torch.special.entr(logits_RV.softmax(-1)).sum(-1)
        return -entropy_R

    def sure(self, score_BN: Tensor) -> Tensor:
        """Return how many of the best candidates of each row stay within the bound, count_B."""
        best_BN = score_BN.sort(dim=1, descending=True).values
        before_BN = torch.cat([torch.zeros_like(best_BN[:, :1]), -best_BN[:, :-1]], 1).cumsum(1)
        # Deferred candidates, and those that only fill up a row, have scores of no entropy.
        real_BN = best_BN > torch.finfo(best_BN.dtype).min
        return ((before_BN <= self.entropy) & real_BN).sum(1)


Parallel = Threshold | EntropyBound
