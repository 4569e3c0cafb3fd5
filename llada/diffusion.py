"""Masked diffusion: corrupt a text, and score how well a model restores it (arXiv 2502.09992).

Shapes: B batch, L sequence, M masked positions of the whole batch, D model width, V vocabulary.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (its usual name)

from llada import noise
from llada.autoregressive import require_causal
from llada.errors import LladaError
from llada.head_loss import weighted_cross_entropy
from llada.likelihood import Likelihood, log_likelihood
from llada.model import MaskPredictor, Predictor, hidden_and_head
from llada.noise import EPS, mask_probability

__all__ = [
    "EPS",
    "Likelihood",
    "MaskedLosses",
    "answer_positions",
    "arm_loss",
    "corrupt",
    "log_likelihood",
    "mask_probability",
    "masked_losses",
    "pretrain_loss",
    "sft_loss",
    "weighted_masked_loss",
]

# Rows of logits alive at once: 1024 x 126,464 in float32 are 0.5 GB.
CHUNK_ROWS = 1024


def corrupt(
    x0_BL: Tensor, t_B: Tensor, *, mask_id: int, rng: torch.Generator, eps: float = EPS
) -> tuple[Tensor, Tensor]:
    """Mask each token independently with probability p(t) (Eq. 8); return noisy_BL and masked_BL.

    Keep masked_BL: finding the mask id in noisy_BL is not the same, as a text may hold that id.
    """
    draw_BL = torch.rand(x0_BL.shape, generator=rng, device=rng.device).to(x0_BL.device)
    masked_BL = draw_BL < mask_probability(t_B, eps)[:, None]
    return x0_BL.masked_fill(masked_BL, mask_id), masked_BL


class MaskedLosses(NamedTuple):
    """The weighted sum, which has a gradient, and each masked position's cross-entropy, without."""

    total: Tensor
    ce_M: Tensor


def weighted_masked_loss(
    model: Predictor,
    noisy_BL: Tensor,
    targets_BL: Tensor,
    masked_BL: Tensor,
    weight_BL: Tensor,
    *,
    attention_mask: Tensor | None = None,
    chunk_rows: int | None = CHUNK_ROWS,
) -> Tensor:
    """Return the *sum* over masked positions of weight times cross-entropy, in float32.

    (A float64 model is scored in float64.) The caller divides, by a denominator that may span
    machines. Only masked rows reach the head, `chunk_rows` at a time, and no logits are kept for
    the backward pass (`llada.head_loss`). None takes them in one call of the head module, whose
    weights may lie elsewhere until it is called (ZeRO-3), and keeps the logits.
    Where nothing is masked the sum is exactly zero and still has a gradient (zero) everywhere.
    """
    return masked_losses(
        model,
        noisy_BL,
        targets_BL,
        masked_BL,
        weight_BL,
        attention_mask=attention_mask,
        chunk_rows=chunk_rows,
    ).total


def masked_losses(
    model: Predictor,
    noisy_BL: Tensor,
    targets_BL: Tensor,
    masked_BL: Tensor,
    weight_BL: Tensor,
    *,
    attention_mask: Tensor | None = None,
    chunk_rows: int | None = CHUNK_ROWS,
) -> MaskedLosses:
    """Return `weighted_masked_loss` and what it sums, in the order of the masked positions."""
    place_M = masked_BL.flatten().nonzero()[:, 0]
    hidden_MD, head = hidden_and_head(model, noisy_BL, attention_mask, place_N=place_M)
    precision = torch.promote_types(hidden_MD.dtype, torch.float32)
    target_M = targets_BL.flatten()[place_M]
    weight_M = weight_BL.flatten()[place_M].to(precision)
    if isinstance(model, MaskPredictor) and chunk_rows is not None and torch.is_grad_enabled():
        return MaskedLosses(
            *weighted_cross_entropy(hidden_MD, model.head_weight, target_M, weight_M, chunk_rows)
        )
    # At least one chunk, an empty one if need be: it keeps the graph alive.
    size = max(len(target_M), 1) if chunk_rows is None else chunk_rows
    ce_M = torch.cat(
        [
            F.cross_entropy(head(hidden_CD).to(precision), target_C, reduction="none")
            for hidden_CD, target_C in zip(
                torch.split(hidden_MD, size), torch.split(target_M, size), strict=True
            )
        ]
    )
    return MaskedLosses((weight_M * ce_M).sum(), ce_M.detach())


def pretrain_loss(
    model: Predictor,
    x0_BL: Tensor,
    *,
    mask_id: int,
    rng: torch.Generator,
    eps: float = EPS,
    times: str = "independent",
    masks: str = "bernoulli",
    chunk_rows: int | None = CHUNK_ROWS,
) -> Tensor:
    """Return the pre-training loss (Eq. 3): cross-entropy over p, summed, over B * L.

    The divisor counts *all* positions, not the masked ones: that keeps it a bound on the
    negative log-likelihood per token. `times` and `masks` are rows of the tables in `noise.py`:
    the defaults are the paper's, the others estimate the same loss with less variance.
    """
    masked_BL, weight_B = _draw(
        torch.ones_like(x0_BL, dtype=torch.bool), rng=rng, eps=eps, times=times, masks=masks
    )
    loss = weighted_masked_loss(
        model,
        x0_BL.masked_fill(masked_BL, mask_id),
        x0_BL,
        masked_BL,
        weight_B[:, None].expand_as(x0_BL),
        chunk_rows=chunk_rows,
    )
    return loss / x0_BL.numel()


def answer_positions(length: int, prompt_lengths_B: Tensor, answer_lengths_B: Tensor) -> Tensor:
    """Return answer_BL: true on the answer_lengths_B positions after each prompt."""
    position_L = torch.arange(length, device=prompt_lengths_B.device)
    end_B = prompt_lengths_B + answer_lengths_B
    if bool((answer_lengths_B < 1).any()) or bool((end_B > length).any()):
        raise LladaError(
            f"prompt lengths {prompt_lengths_B.tolist()} and answer lengths "
            f"{answer_lengths_B.tolist()} in rows of {length}; every answer needs 1 token or more "
            f"and must end within its row: drop the sample or pad the batch with EOS"
        )
    return (position_L >= prompt_lengths_B[:, None]) & (position_L < end_B[:, None])


def sft_loss(
    model: Predictor,
    ids_BL: Tensor,
    prompt_lengths_B: Tensor,
    answer_lengths_B: Tensor,
    *,
    mask_id: int,
    rng: torch.Generator,
    eps: float = EPS,
    times: str = "independent",
    masks: str = "bernoulli",
    chunk_rows: int | None = CHUNK_ROWS,
) -> Tensor:
    """Return the fine-tuning loss (Eq. 5) of rows holding prompt, answer and EOS padding.

    Prompts are never masked. `answer_lengths_B` counts the padding too, as in the paper: that is
    how the model learns to end. Each sample is divided by its answer length, then averaged.
    `times` and `masks` are rows of the tables in `noise.py`; an exact count is one per answer.
    """
    answer_BL = answer_positions(ids_BL.shape[1], prompt_lengths_B, answer_lengths_B)
    masked_BL, weight_B = _draw(answer_BL, rng=rng, eps=eps, times=times, masks=masks)
    loss = weighted_masked_loss(
        model,
        ids_BL.masked_fill(masked_BL, mask_id),
        ids_BL,
        masked_BL,
        (weight_B / answer_lengths_B)[:, None].expand_as(ids_BL),
        chunk_rows=chunk_rows,
    )
    return loss / len(ids_BL)


def arm_loss(
    model: MaskPredictor,
    ids_BL: Tensor,
    *,
    attention_mask: Tensor | None = None,
    chunk_rows: int | None = CHUNK_ROWS,
) -> Tensor:
    """Return the next-token cross-entropy of the autoregressive baseline, over B * (L - 1).

    `attention_mask` (B, L) is False on padding at the end of a row: it is neither read nor
    predicted, and the divisor counts the predictions that are left.

    Raises:
        LladaError: the model sees both sides (each token would copy its right neighbour), or no
            row has a second token.
    """
    require_causal(model.config)
    predicts_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
    predicts_BL[:, :-1] = True if attention_mask is None else attention_mask[:, 1:].bool()
    count = int(predicts_BL.sum())
    if not count:
        raise LladaError(
            f"rows of {ids_BL.shape[1]} tokens with nothing to predict; "
            f"the autoregressive loss needs 2 tokens or more in some row: use longer rows"
        )
    weight_BL = torch.ones(ids_BL.shape, device=ids_BL.device)
    loss = weighted_masked_loss(
        model,
        ids_BL,
        ids_BL.roll(-1, dims=1),
        predicts_BL,
        weight_BL,
        attention_mask=attention_mask,
        chunk_rows=chunk_rows,
    )
    return loss / count


def _draw(
    maskable_BL: Tensor, *, rng: torch.Generator, eps: float, times: str, masks: str
) -> tuple[Tensor, Tensor]:
    """Return masked_BL and its weight_B from the named rows of the tables of noise."""
    device = maskable_BL.device
    draw_B = torch.rand(len(maskable_BL), generator=rng, device=rng.device)
    keys_BL = torch.rand(maskable_BL.shape, generator=rng, device=rng.device).to(device)
    t_B = noise.times(times)(draw_B).to(device)
    return noise.masks(masks)(t_B, keys_BL, maskable_BL, eps)
