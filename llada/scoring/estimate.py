"""From the log-probabilities of hidden tokens to a likelihood and its error.

Shapes: S samples, A answer length, K decks, F features of a hidden token. A plain estimate owes
most of its variance to *which* positions a sample hides, and beside what: tokens differ in
difficulty, and are harder with their neighbours gone. What that costs is learnt from the other
samples and taken out (a control variate, fitted across decks of masks).
"""

import math

import torch
from torch import Tensor

from llada.likelihood import Likelihood, standard_error
from llada.scoring.masks import DECKS

# A position is fitted as if seen this much more often, at the average of all positions.
_PRIOR = 2.0
_RIDGE = 1e-3


def sample_values(log_p_SA: Tensor, masked_SA: Tensor) -> Tensor:
    """Return value_S in nats: unbiased estimates of Eq. 6, one a sample.

    log_p_SA is 0 where nothing is hidden. A sample that hides n tokens counts A/n * sum over hidden
    i of (log_p_i - f_i), plus the sum over all i of what f_i is on average when i is among n hidden
    at random. The two parts with f cancel on average, whatever f is, if it knows nothing of which
    positions this sample hides: it comes from the samples of other decks.
    """
    samples, length = masked_SA.shape
    log_p_SA, count_S = log_p_SA.double(), masked_SA.sum(-1).double()
    if samples == 1:
        return log_p_SA.sum(-1) * length / count_S
    seen_SAF, average_SAF = _features(masked_SA, count_S)
    slope_SAF = _slopes(log_p_SA, masked_SA / count_S[:, None], seen_SAF)
    expected_SA, average_SA = ((x_SAF * slope_SAF).sum(-1) for x_SAF in (seen_SAF, average_SAF))
    surprise_S = ((log_p_SA - expected_SA) * masked_SA).sum(-1)
    return surprise_S * length / count_S + average_SA.sum(-1)


def _features(masked_SA: Tensor, count_S: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1, n/A, and whether the left and the right neighbour are hidden; and their means.

    Given n and that i is hidden, any other position is hidden with probability (n-1) / (A-1).
    """
    samples, length = masked_SA.shape
    hidden_SA = masked_SA.double()
    one_SA, edge_S1 = torch.ones_like(hidden_SA), torch.zeros(samples, 1, dtype=torch.float64)
    share_SA = one_SA * (count_S / length)[:, None]
    other_SA = one_SA[:, 1:] * ((count_S - 1) / max(length - 1, 1))[:, None]
    seen = [torch.cat([edge_S1, hidden_SA[:, :-1]], 1), torch.cat([hidden_SA[:, 1:], edge_S1], 1)]
    average = [torch.cat([edge_S1, other_SA], 1), torch.cat([other_SA, edge_S1], 1)]
    return (
        torch.stack([one_SA, share_SA, *seen], -1),
        torch.stack([one_SA, share_SA, *average], -1),
    )


def _slopes(log_p_SA: Tensor, weight_SA: Tensor, x_SAF: Tensor) -> Tensor:
    """Return slope_SAF: least squares of each position over the samples of the other decks.

    Samples weigh 1/n as in Eq. 6; a position leans to the fit of all positions together (ridge).
    """
    deck_S = torch.arange(len(log_p_SA)) % DECKS

    def others(products: Tensor) -> Tensor:
        sums = torch.zeros(DECKS, *products.shape[1:], dtype=torch.float64)
        sums.index_add_(0, deck_S, products)
        return sums.sum(0) - sums

    wx_SAF = weight_SA[..., None] * x_SAF
    gram_KAFF = others(wx_SAF[..., None] * x_SAF[..., None, :])
    target_KAF = others(wx_SAF * log_p_SA[..., None])
    total_K11 = gram_KAFF.sum(1)[:, :1, :1]
    common_KFF = gram_KAFF.sum(1) / total_K11 + _RIDGE * torch.eye(x_SAF.shape[-1])
    common_KF1 = torch.linalg.solve(common_KFF, target_KAF.sum(1)[..., None] / total_K11)
    prior = _PRIOR * weight_SA.amax(-1).mean()  # of an average sample's weight
    gram_KAFF = gram_KAFF + prior * common_KFF[:, None]
    target_KAF = target_KAF + prior * (common_KFF @ common_KF1)[:, None, :, 0]
    slope_KAF: Tensor = torch.linalg.solve(gram_KAFF, target_KAF)
    return slope_KAF[deck_S]


def mean(value_S: Tensor, fraction_S: Tensor) -> Likelihood:
    """Return the mean of the samples with its standard error, NaN of a single one."""
    if len(value_S) == 1:
        return Likelihood(value_S.item(), math.nan)
    return Likelihood(value_S.mean().item(), standard_error(value_S, fraction_S))
