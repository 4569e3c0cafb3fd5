"""Classifier-free guidance without a classifier or a trained condition (paper, appendix on CFG).

Shapes: B batch, T prompt plus answer, N picked rows, M those of both halves, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from llada.model import Predictor, hidden_and_head


def guided_logits(
    model: Predictor,
    ids_BT: Tensor,
    rows_BT: Tensor,
    *,
    prompt_BT: Tensor,
    mask_id: int,
    scale: float,
    attention_mask: Tensor | None = None,
) -> Tensor:
    """Return logits_NV at the picked rows, pushed away from what the model says without prompt.

    The unconditional pass sees the prompt masked, every position where it was. A scale of 0 is the
    model itself and costs one pass instead of two.
    """
    place_N = rows_BT.flatten().nonzero()[:, 0]
    if scale == 0.0:
        h_ND, head = hidden_and_head(model, ids_BT, attention_mask, place_N=place_N)
        return head(h_ND)
    promptless_BT = ids_BT.masked_fill(prompt_BT, mask_id)
    both_mask = None if attention_mask is None else attention_mask.repeat(2, 1)
    both_M = torch.cat([place_N, place_N + ids_BT.numel()])
    h_MD, head = hidden_and_head(
        model, torch.cat([ids_BT, promptless_BT]), both_mask, place_N=both_M
    )
    return guide(head(h_MD).chunk(2), scale)


def guide(branches: Sequence[Tensor], scale: float) -> Tensor:
    """Join the logits with and without prompt (Eq. 16); a model without guidance has one branch."""
    if len(branches) == 1:
        return branches[0]
    logits, without = branches
    return without + (scale + 1.0) * (logits - without)
