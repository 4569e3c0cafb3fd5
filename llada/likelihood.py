"""How likely a model finds an answer: the Monte Carlo bound of the paper (Eq. 6, Algorithm 3).

Shapes: S Monte Carlo samples, A answer length, B rows of one pass, L prompt plus answer,
N masked positions of one pass, V vocabulary.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from llada.errors import LladaError
from llada.model import Predictor
from llada.sampling.guidance import guided_logits


class Likelihood(NamedTuple):
    """An estimate of log p(answer | prompt) in nats, from below, and its standard error.

    The error is NaN where it cannot be known: a single sample of an answer of several tokens.
    """

    value: float
    stderr: float


def log_likelihood(
    model: Predictor,
    prompt_ids: Tensor | Sequence[int],
    answer_ids: Tensor | Sequence[int],
    *,
    samples: int,
    mask_id: int,
    cfg_scale: float = 0.0,
    rng: torch.Generator,
    batch_size: int = 16,
) -> Likelihood:
    """Estimate the likelihood of an answer (Eq. 6): mask n of its A tokens, weigh by A / n.

    The mask counts are spread evenly over 1..A from one random start, instead of drawn one by one:
    still unbiased, with less variance. All draws happen before the first pass, so `batch_size`
    changes speed and memory only, and equal seeds give candidates of one length equal masks.
    The answers of MMLU and the like are one token: `samples=1` is then exact.
    """
    prompt_P, answer_A = _ids(model, prompt_ids), _ids(model, answer_ids)
    if samples < 1 or len(answer_A) < 1 or batch_size < 1:
        raise LladaError(
            f"samples={samples}, an answer of {len(answer_A)} tokens, batch_size={batch_size}; "
            f"each must be 1 or more: 128 samples settle most benchmarks"
        )
    count_S = mask_counts(len(answer_A), samples, rng)
    draw_SA = torch.rand(samples, len(answer_A), generator=rng, device=rng.device)
    masked_SA = (draw_SA.argsort(-1).argsort(-1) < count_S[:, None]).to(answer_A.device)
    with torch.inference_mode():
        parts = [
            _restored(
                model,
                prompt_P,
                answer_A,
                masked_SA[start : start + batch_size],
                mask_id=mask_id,
                scale=cfg_scale,
            )
            for start in range(0, samples, batch_size)
        ]
    value_S = torch.cat(parts).double().cpu() * len(answer_A) / count_S.cpu()
    stderr = 0.0 if len(answer_A) == 1 else standard_error(value_S, count_S.cpu())
    return Likelihood(value_S.mean().item(), stderr)


def mask_counts(length: int, samples: int, rng: torch.Generator) -> Tensor:
    """Return count_S: mask counts in 1..length, evenly spaced from a random start, wrapping round.

    Each count alone is uniform, so the estimate stays unbiased.
    """
    start = int(torch.randint(length, (), generator=rng, device=rng.device))
    step_S = torch.arange(samples, device=rng.device) * length // samples
    return (start + step_S) % length + 1


def _restored(
    model: Predictor,
    prompt_P: Tensor,
    answer_A: Tensor,
    masked_BA: Tensor,
    *,
    mask_id: int,
    scale: float,
) -> Tensor:
    """Return, for each row, the summed log-probability of the tokens it hides."""
    rows, prompt_length = len(masked_BA), len(prompt_P)
    clean_BL = torch.cat([prompt_P, answer_A]).expand(rows, -1)
    prompt_BL = torch.zeros_like(clean_BL, dtype=torch.bool)
    prompt_BL[:, :prompt_length] = True
    masked_BL = torch.cat([prompt_BL[:, :prompt_length].logical_not(), masked_BA], dim=1)
    logits_NV = guided_logits(
        model,
        clean_BL.masked_fill(masked_BL, mask_id),
        masked_BL,
        prompt_BT=prompt_BL,
        mask_id=mask_id,
        scale=scale,
    )
    log_p_NV = logits_NV.float().log_softmax(-1)
    log_p_N = log_p_NV.gather(-1, clean_BL[masked_BL][:, None])[:, 0]
    row_N = masked_BL.nonzero()[:, 0]
    return torch.zeros(rows, device=log_p_N.device).index_add(0, row_N, log_p_N)


def standard_error(value_S: Tensor, order_S: Tensor) -> float:
    """Estimate the error of the mean from neighbours in mask count (or anything it grows with).

    The counts are a systematic sample, not independent draws: the plain formula would charge the
    spread *between* counts, which the even spacing has removed. Differences of neighbours do not.
    """
    samples = len(value_S)
    if samples == 1:
        return math.nan
    step = value_S[order_S.argsort(stable=True)].diff()
    return math.sqrt(step.square().sum().item() / (2 * (samples - 1)) / samples)


def _ids(model: Predictor, ids: Tensor | Sequence[int]) -> Tensor:
    """Return ids as a row of integers where the model is."""
    weight = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    device = None if weight is None else weight.device
    return torch.as_tensor(ids, dtype=torch.long, device=device).reshape(-1)
