"""How far the loss and the gradient of one batch stray at given weights, and what of it is noise.

The draws of a batch are its rows, each row's t and the masks; the last two are the recipe's choice
(`NoiseConfig`). All schedules estimate one loss, so the smaller spread is the better one.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from llada.diffusion import CHUNK_ROWS
from llada.model import MaskPredictor
from llada.training.batch import Batch
from llada.training.config import NoiseConfig
from llada.training.errors import TrainingError
from llada.training.objective import Objective

SCHEDULES: Mapping[str, NoiseConfig] = {
    "paper": NoiseConfig(),
    "spread_t": NoiseConfig(times="low_discrepancy"),
    "exact_counts": NoiseConfig(masks="exact_count"),
    "both": NoiseConfig(times="low_discrepancy", masks="exact_count"),
}


class Spread(NamedTuple):
    """Over batches: the loss's relative standard deviation, and tr(cov g) / |E g|^2."""

    loss: float
    gradient: float
    """The noise scale in batches: how many must be averaged until signal and noise are equal."""
    gradient_error: float
    """Standard error of `gradient`, from how much |g|^2 strays: weights of 1/t have a long tail."""


def spread(model: MaskPredictor, batches: Iterable[Batch]) -> Spread:
    """Measure both at the weights of `model`, which stay as they are.

    Mean and variance are updated batch by batch (Welford), in float64: two copies of the weights.

    Raises:
        TrainingError: fewer than two batches.
    """
    objective = Objective(model, CHUNK_ROWS)
    losses: list[float] = []
    norms: list[float] = []
    mean_W, squares = torch.zeros((), dtype=torch.float64), 0.0
    for batch in batches:
        model.zero_grad()
        loss, _ = objective(*batch)
        loss.backward()
        gradient_W = _gradient(model)
        losses.append(loss.item())
        norms.append(float(gradient_W @ gradient_W))
        off_W = gradient_W - mean_W
        mean_W = mean_W + off_W / len(losses)
        squares += float(off_W @ (gradient_W - mean_W))
    model.zero_grad()
    if len(losses) < 2:
        msg = f"a spread over {len(losses)} batches; it takes two or more: draw more of them"
        raise TrainingError(msg)
    variance = squares / (len(losses) - 1)
    signal = float(mean_W @ mean_W) - variance / len(losses)  # |mean|^2 overstates |E g|^2
    found, norms_N = (torch.tensor(each, dtype=torch.float64) for each in (losses, norms))
    error = float(norms_N.std()) / len(norms) ** 0.5
    return Spread(float(found.std() / found.mean()), variance / signal, error / signal)


def on_rows(drawn: Batch, rows: Batch, mask_id: int) -> Batch:
    """Return `rows` under the times and masks of `drawn`: what noise alone does to a batch."""
    noisy_BL = rows.targets_BL.masked_fill(drawn.masked_BL, mask_id)
    return drawn._replace(noisy_BL=noisy_BL, targets_BL=rows.targets_BL)


def _gradient(model: MaskPredictor) -> Tensor:
    parts = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat(parts).double()
