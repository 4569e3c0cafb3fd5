"""Attention: rotary positions, which keys a query may see, and the kernel that mixes values.

Shapes: B batch, L sequence, H heads, K key/value heads, E head width.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (its usual name)


def rotary_angles(length: int, head_dim: int, theta: float, device: torch.device) -> Tensor:
    """Return the rotation angle of each position and pair of channels, float32, angles_LE.

    Computed for every call: a cached buffer would be rounded by `model.to(torch.bfloat16)`.
    """
    exponent_E = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim
    position_L = torch.arange(length, device=device, dtype=torch.float32)
    half_LE = position_L[:, None] * (1.0 / theta**exponent_E)[None, :]
    return torch.cat([half_LE, half_LE], dim=-1)


def rotate(x_BHLE: Tensor, cos_LE: Tensor, sin_LE: Tensor) -> Tensor:
    """Rotate channel i with channel i + E/2 (half-split RoPE), in float32."""
    wide_BHLE = x_BHLE.float()
    first, second = wide_BHLE.chunk(2, dim=-1)
    turned_BHLE = torch.cat([-second, first], dim=-1)
    return (wide_BHLE * cos_LE + turned_BHLE * sin_LE).to(x_BHLE.dtype)


def visible_keys(attention_mask: Tensor, *, causal: bool) -> Tensor:
    """Return which keys each query may see, for scaled_dot_product_attention."""
    keys_B11L = attention_mask.bool()[:, None, None, :]
    if not causal:
        return keys_B11L
    length = attention_mask.shape[1]
    square = torch.ones(length, length, dtype=torch.bool, device=attention_mask.device)
    return keys_B11L & square.tril()


def attend(
    q_BHLE: Tensor, k_BKLE: Tensor, v_BKLE: Tensor, visible: Tensor | None, *, causal: bool
) -> Tensor:
    """Mix the values of the keys that each query may see; K divides H (grouped queries)."""
    return F.scaled_dot_product_attention(
        q_BHLE,
        k_BKLE,
        v_BKLE,
        attn_mask=visible,
        is_causal=causal and visible is None,
        enable_gqa=k_BKLE.shape[1] != q_BHLE.shape[1],
    )
