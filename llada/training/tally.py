"""The loss of a step told apart by t: hard rows (nearly all masked) and easy ones learn apart.

Shapes: B rows, L positions, M masked positions, K buckets of t.
"""

import torch
from torch import Tensor

T_BUCKETS = 4
"""Equal parts of [0, 1)."""


def tally(ce_M: Tensor, masked_BL: Tensor, time_B: Tensor) -> Tensor:
    """Return summed cross-entropies and counts by bucket of t, as one row of 2 K float64 numbers.

    `ce_M` belongs to the M masked positions of `masked_BL` in their order.
    """
    bucket_B = (time_B * T_BUCKETS).long().clamp(0, T_BUCKETS - 1)
    bucket_M = bucket_B[:, None].expand_as(masked_BL)[masked_BL]
    both_2M = torch.stack([ce_M.detach().double(), torch.ones_like(ce_M, dtype=torch.float64)])
    sums_2K = both_2M.new_zeros(2, T_BUCKETS)
    # No index_add: on CUDA it adds in any order, and two runs must not differ even here.
    for bucket in range(T_BUCKETS):
        sums_2K[:, bucket] = (both_2M * (bucket_M == bucket)).sum(1)
    return sums_2K.flatten()
