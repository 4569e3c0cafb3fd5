"""Weighted cross-entropy of a linear head, some rows at a time, with no logits left to keep.

Once the logits of some rows are there, so is their gradient: a softmax and a subtraction. Taking
it at once spares the backward pass from keeping the logits or from computing them again, which is
one of the four products of a head that checkpoints them.

Shapes: M rows, D model width, V vocabulary, C rows of a chunk.
"""

from typing import Any, cast

import torch
from torch import Tensor


def weighted_cross_entropy(
    hidden_MD: Tensor, weight_VD: Tensor, target_M: Tensor, factor_M: Tensor, chunk_rows: int
) -> tuple[Tensor, Tensor]:
    """Return the sum of `factor_M` times the cross-entropies, and ce_M without gradient.

    Softmax and sums are in float32 at least. `chunk_rows` rows of logits are alive at once. Only
    the first result has a gradient, in hidden_MD and weight_VD, and it has it once.
    """
    found = _WeightedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_MD, weight_VD, target_M, factor_M, chunk_rows
    )
    return cast(tuple[Tensor, Tensor], found)


class _WeightedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917  autograd passes them so
        ctx: Any,
        hidden_MD: Tensor,
        weight_VD: Tensor,
        target_M: Tensor,
        factor_M: Tensor,
        chunk_rows: int,
    ) -> tuple[Tensor, Tensor]:
        precision = torch.promote_types(hidden_MD.dtype, torch.float32)
        ce_M = torch.empty(len(hidden_MD), dtype=precision, device=hidden_MD.device)
        d_hidden_MD, d_weight_VD = torch.empty_like(hidden_MD), torch.zeros_like(weight_VD)
        for start in range(0, len(hidden_MD), chunk_rows):
            rows = slice(start, start + chunk_rows)
            hidden_CD, target_C1 = hidden_MD[rows], target_M[rows, None]
            logits_CV = torch.mm(hidden_CD, weight_VD.T)
            p_CV = torch.softmax(logits_CV, -1, dtype=precision)
            # By way of the likeliest token, whose probability cannot underflow; a log-softmax and
            # its exponential would cost more than the softmax alone.
            top_C1, best_C1 = logits_CV.max(-1, keepdim=True)
            log_sum_C1 = top_C1.to(precision) - p_CV.gather(1, best_C1).log()
            ce_M[rows] = (log_sum_C1 - logits_CV.gather(1, target_C1))[:, 0]
            p_CV.scatter_add_(1, target_C1, -torch.ones_like(target_C1, dtype=precision))
            d_logits_CV = torch.mul(p_CV, factor_M[rows, None], out=logits_CV)
            torch.mm(d_logits_CV, weight_VD, out=d_hidden_MD[rows])
            d_weight_VD.addmm_(d_logits_CV.T, hidden_CD)
        ctx.save_for_backward(d_hidden_MD, d_weight_VD)
        ctx.mark_non_differentiable(ce_M)
        return (factor_M * ce_M).sum(), ce_M

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> tuple[Tensor, Tensor, None, None, None]:
        """Scale what the forward pass found by the gradient of the sum."""
        d_hidden_MD, d_weight_VD = ctx.saved_tensors
        (scale, _) = outer
        # In place: a copy of the head's gradient would be the largest tensor of a step. A second
        # backward pass is refused by autograd, which sees that what it saved has changed.
        return d_hidden_MD.mul_(scale), d_weight_VD.mul_(scale), None, None, None
