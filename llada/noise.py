"""How the noise of a training step is chosen: its times and its masks, as functions of uniforms.

Shapes: G rows of the global batch of a step, B rows at hand, L positions. Nothing here draws:
whoever owns the random numbers passes them in, so a worker can compute its own rows alone.

All rows of the two tables estimate the same loss. With h(n) the mean, over all sets of n of a row's
L positions, of the cross-entropy summed over the set (arXiv 2502.09992):

    Eq. 14, exactly n masked:          (1/L) sum_n (L/n) h(n) = sum_n h(n) / n
    Eq. 12, each masked at p in [0,1]: sum_n C(L,n) B(n, L-n+1) h(n) = sum_n h(n) / n

that is, they are equal, since C(L,n) B(n, L-n+1) = 1/n. The published floor p >= eps integrates
from eps on and divides by 1 - eps: h(n) / n is weighed by I(n) / (1 - eps), where I(n) is the
probability that a Beta(n, L-n+1) variable exceeds eps. Eq. 14 needs no floor: no weight exceeds L.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from llada.errors import LladaError

# The paper keeps p away from 0, where its weight 1/p would explode: no weight exceeds 1000.
EPS = 1e-3
_GOLDEN = (math.sqrt(5) - 1) / 2

Times = Callable[[Tensor], Tensor]
"""From one uniform number in [0, 1) a row of the global batch to its time, t_G."""

Masks = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]
"""(t_B, keys_BL, maskable_BL, eps) -> (masked_BL, weight_B); keys_BL are uniform in [0, 1).

Weights sum, over the masked positions of a row, to its number of maskable positions on average:
the caller divides by the positions of the batch (Eq. 3) or of each answer (Eq. 5).
"""


def mask_probability(t_B: Tensor, eps: float = EPS) -> Tensor:
    """Return the probability p_B that a token is masked at time t: t itself, kept above eps."""
    return (1.0 - eps) * t_B + eps


def stratified_times(shift: float, index: Tensor | range, size: int) -> Tensor:
    """Return the times of some rows of a global batch of `size`: equally spaced, moved by `shift`.

    Together the rows hold every point of a grid of `size` points, once: for a smooth loss the
    variance of their mean falls with 1/size^2 or faster (the low-discrepancy sampler of Variational
    Diffusion Models, arXiv 2107.00630; here over the global batch, whoever holds its parts). A
    uniform `shift` makes each time alone uniform in [0, 1): unbiased. Neighbours in the batch are
    about 0.618 apart, so that every worker and micro-batch, too, sees all noise levels and as many
    masked rows as the next.
    """
    rows = torch.as_tensor(index if isinstance(index, Tensor) else list(index), dtype=torch.int64)
    place = rows * _stride(size) % size
    return (shift + place.double() / size) % 1.0


def independent_times(draws_G: Tensor) -> Tensor:
    """Return each row's own draw, as in the paper."""
    return draws_G


def low_discrepancy_times(draws_G: Tensor) -> Tensor:
    """Return one equally spaced time a row, all moved by the first draw."""
    return stratified_times(draws_G[0].item(), range(len(draws_G)), len(draws_G))


def mask_count(t: Tensor, length: Tensor | int) -> Tensor:
    """Return n = 1 + floor(t * length): uniform over 1..length for a uniform t in [0, 1)."""
    length = torch.as_tensor(length, device=t.device)
    return torch.minimum((t.double() * length).long() + 1, length)


def exact_count_mask(keys_L: Tensor, count: Tensor | int) -> Tensor:
    """Return masked_L: the `count` positions of the smallest keys, every set equally likely.

    Leading dimensions are rows of their own: keys (..., L), count (...).
    """
    rank_L = keys_L.argsort(dim=-1, stable=True).argsort(dim=-1)
    return rank_L < torch.as_tensor(count, device=keys_L.device)[..., None]


def bernoulli_masks(
    t_B: Tensor, keys_BL: Tensor, maskable_BL: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Mask each position on its own with probability p(t), and weigh by 1/p (Eq. 8, Eq. 12)."""
    p_B = mask_probability(t_B, eps)
    return (keys_BL < p_B[:, None]) & maskable_BL, 1.0 / p_B


def exact_count_masks(
    t_B: Tensor, keys_BL: Tensor, maskable_BL: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Mask exactly n of a row's A maskable positions, n uniform over 1..A; weigh by A/n (Eq. 14).

    No row is without a masked position, which under Eq. 8 happens to 1 in 21 answers of 20 tokens.
    `eps` has no part in it. A row without maskable positions has no mask and weight 1.
    """
    length_B = maskable_BL.sum(-1)
    count_B = mask_count(t_B, length_B.clamp(min=1))
    outside = torch.full_like(keys_BL, 2.0)
    masked_BL = exact_count_mask(torch.where(maskable_BL, keys_BL, outside), count_B)
    weight_B = length_B.clamp(min=1).to(t_B.dtype) / count_B
    return masked_BL & maskable_BL, weight_B


def times(name: str) -> Times:
    """Return the row of `TIMES` of that name.

    Raises:
        LladaError: there is no such row.
    """
    if name not in TIMES:
        raise LladaError(f"no way to choose times named {name!r}; choose one of {', '.join(TIMES)}")
    return TIMES[name]


def masks(name: str) -> Masks:
    """Return the row of `MASKS` of that name.

    Raises:
        LladaError: there is no such row.
    """
    if name not in MASKS:
        raise LladaError(f"no way to choose masks named {name!r}; choose one of {', '.join(MASKS)}")
    return MASKS[name]


def _stride(size: int) -> int:
    """Return the number nearest to size * 0.618 that shares no factor with size."""
    wanted = round(size * _GOLDEN)
    return next(
        stride
        for distance in range(size + 1)
        for stride in (wanted + distance, wanted - distance)
        if stride > 0 and math.gcd(stride, size) == 1
    )


TIMES: Mapping[str, Times] = {
    "independent": independent_times,
    "low_discrepancy": low_discrepancy_times,
}

MASKS: Mapping[str, Masks] = {
    "bernoulli": bernoulli_masks,
    "exact_count": exact_count_masks,
}
