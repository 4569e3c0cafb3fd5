"""From the log-probabilities of hidden tokens to a likelihood and its error.

Shapes: S samples, A answer length, K folds, E moments. A plain estimate owes most of its variance
to *which* positions a sample hides, as tokens differ in difficulty. Here each position's difficulty
is learnt from the other samples and taken out (a control variate, fitted across folds).
"""

import math

import torch
from torch import Tensor

from llada.likelihood import Likelihood, standard_error

_FOLDS = 8
# A position is fitted as if seen this often, evenly over all mask counts, on the common line.
_PRIOR = 1.0
_UNIFORM_MOMENTS = (1.0, 1 / 2, 1 / 3)


def sample_values(log_p_SA: Tensor, masked_SA: Tensor) -> Tensor:
    """Return value_S in nats: unbiased estimates of Eq. 6, one a sample.

    log_p_SA is 0 where nothing is hidden. With f_i(n) the log-probability expected of position i
    when n are hidden, a sample counts A/n * sum over hidden i of (log_p_i - f_i(n)), plus f_i(n)
    summed over all i. As n of A positions are hidden at random, the two parts with f cancel on
    average, whatever f is; it only must not have seen this sample, so it comes from other folds.
    """
    samples, length = masked_SA.shape
    log_p_SA = log_p_SA.double()
    count_S = masked_SA.sum(-1).double()
    expected_SA = torch.zeros_like(log_p_SA)
    if samples > 1:
        expected_SA = _expected(log_p_SA, masked_SA, count_S)
    surprise_S = ((log_p_SA - expected_SA) * masked_SA).sum(-1)
    return surprise_S * length / count_S + expected_SA.sum(-1)


def _expected(log_p_SA: Tensor, masked_SA: Tensor, count_S: Tensor) -> Tensor:
    """Return f_SA: the line in n/A of each position, from the samples outside this one's fold.

    Samples weigh 1/n as in Eq. 6; a position leans to the line of all positions (ridge).
    """
    fold_S = torch.arange(len(count_S)) % _FOLDS
    share_S1 = (count_S / masked_SA.shape[1])[:, None]
    weight_SA = masked_SA / count_S[:, None]
    moments_ESA = torch.stack(
        [
            weight_SA,
            weight_SA * share_S1,
            weight_SA * share_S1.square(),
            weight_SA * log_p_SA,
            weight_SA * log_p_SA * share_S1,
        ]
    )
    sums_EKA = torch.zeros(len(moments_ESA), _FOLDS, masked_SA.shape[1], dtype=torch.float64)
    sums_EKA.index_add_(1, fold_S, moments_ESA)
    others_EKA = sums_EKA.sum(1, keepdim=True) - sums_EKA
    base_K1, slope_K1 = _line(others_EKA.sum(-1, keepdim=True))
    one, first, second = (_PRIOR * (1 / count_S).mean() * moment for moment in _UNIFORM_MOMENTS)
    prior_EK1 = torch.stack(
        [
            torch.full_like(base_K1, one.item()),
            torch.full_like(base_K1, first.item()),
            torch.full_like(base_K1, second.item()),
            base_K1 * one + slope_K1 * first,
            base_K1 * first + slope_K1 * second,
        ]
    )
    base_KA, slope_KA = _line(others_EKA + prior_EK1)
    return base_KA[fold_S] + slope_KA[fold_S] * share_S1


def _line(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Solve weighted least squares from (w, w x, w x^2, w y, w x y); flat where x never varies."""
    w, wx, wxx, wy, wxy = moments
    spread = w * wxx - wx.square()
    varies = spread > 1e-9 * (w * wxx)
    slope = torch.where(varies, (w * wxy - wx * wy) / torch.where(varies, spread, 1.0), 0.0)
    return (wy - slope * wx) / torch.where(w > 0, w, 1.0), slope


def mean(value_S: Tensor, fraction_S: Tensor) -> Likelihood:
    """Return the mean of the samples with its standard error, NaN of a single one."""
    if len(value_S) == 1:
        return Likelihood(value_S.item(), math.nan)
    return Likelihood(value_S.mean().item(), standard_error(value_S, fraction_S))
