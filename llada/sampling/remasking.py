"""Which predictions to keep: a strategy scores the candidates of a step, the best are committed.

The rest stay masked, hence the paper's word *remasking*. Shapes: N candidate rows (masked positions
of the current block), V vocabulary.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from llada.errors import LladaError

# (logits_NV without sampling noise, chosen_N, rng) -> score_N; the highest scores are committed.
Remasking = Callable[[Tensor, Tensor, torch.Generator | None], Tensor]


def low_confidence(logits_NV: Tensor, chosen_N: Tensor, _rng: torch.Generator | None) -> Tensor:
    """Score a prediction by its probability, before temperature and noise (Algorithm 5)."""
    return logits_NV.softmax(-1).gather(-1, chosen_N[:, None])[:, 0]


def random(logits_NV: Tensor, chosen_N: Tensor, rng: torch.Generator | None) -> Tensor:
    """Score by chance: what the diffusion process itself prescribes (Algorithm 4)."""
    return uniform(chosen_N.shape, rng, logits_NV.device)


def uniform(shape: torch.Size, rng: torch.Generator | None, device: torch.device) -> Tensor:
    """Draw float64 numbers in [0, 1): in float32, ties and the tail would bend the distribution."""
    if rng is None:
        raise LladaError(
            "rng=None; a temperature above 0 and remasking='random' need random numbers: "
            "pass rng=torch.Generator().manual_seed(0), or use temperature 0 and low_confidence"
        )
    drawn = torch.rand(shape, generator=rng, device=rng.device, dtype=torch.float64)
    return drawn.to(device)


STRATEGIES: Mapping[str, Remasking] = {
    "low_confidence": low_confidence,
    "random": random,
}
