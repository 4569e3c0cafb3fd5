"""Attention: rotary positions, which keys a query may see, and the kernel that mixes values.

Shapes: B batch, L sequence, H heads, K key/value heads, E head width.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (its usual name)

from llada.segments import Segments

_HALVES = (torch.bfloat16, torch.float16)


def rotary_angles(position_L: Tensor, head_dim: int, theta: float) -> Tensor:
    """Return the rotation angle of each position and pair of channels, float32, angles_LE.

    Computed for every call: a cached buffer would be rounded by `model.to(torch.bfloat16)`.
    """
    device = position_L.device
    exponent_E = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim
    half_LE = position_L.float()[:, None] * (1.0 / theta**exponent_E)[None, :]
    return torch.cat([half_LE, half_LE], dim=-1)


def rotate(x_BHLE: Tensor, cos_LE: Tensor, sin_LE: Tensor) -> Tensor:
    """Rotate channel i with channel i + E/2 (half-split RoPE), in float32."""
    wide_BHLE = x_BHLE.float()
    first, second = wide_BHLE.chunk(2, dim=-1)
    turned_BHLE = torch.cat([-second, first], dim=-1)
    return (wide_BHLE * cos_LE + turned_BHLE * sin_LE).to(x_BHLE.dtype)


def visible_keys(
    attention_mask: Tensor | None, document_ids_BL: Tensor | None, *, causal: bool
) -> Tensor | None:
    """Return which keys each query may see (B, 1, 1 or L, L), or None if there is nothing to hide.

    Padding alone needs one row of keys for all queries, which stays small. A whole square is built
    for documents, where each token sees itself at least, and for padding under a causal mask.
    """
    visible = None if attention_mask is None else attention_mask.bool()[:, None, None, :]
    if document_ids_BL is not None:
        same = document_ids_BL[:, None, :, None] == document_ids_BL[:, None, None, :]
        itself = torch.eye(same.shape[-1], dtype=torch.bool, device=same.device)
        visible = same if visible is None else same & visible | itself
    if visible is not None and causal:
        length = visible.shape[-1]
        square = torch.ones(length, length, dtype=torch.bool, device=visible.device)
        visible = visible & square.tril()
    return visible


def attend(
    q_BHLE: Tensor,
    k_BKLE: Tensor,
    v_BKLE: Tensor,
    visible: Tensor | Segments | None,
    *,
    causal: bool,
) -> Tensor:
    """Mix the values of the keys that each query may see; K divides H (grouped queries).

    `visible` is a mask as of `visible_keys`, or the segments of one packed row, or None for all.
    """
    if isinstance(visible, Segments):
        return _attend_segments(q_BHLE, k_BKLE, v_BKLE, visible, causal=causal)
    group = q_BHLE.shape[1] // k_BKLE.shape[1]
    if group > 1 and (visible is not None or _only_math_groups(q_BHLE)):
        k_BKLE, v_BKLE = (part.repeat_interleave(group, dim=1) for part in (k_BKLE, v_BKLE))
        group = 1
    return F.scaled_dot_product_attention(
        q_BHLE,
        k_BKLE,
        v_BKLE,
        attn_mask=visible,
        is_causal=causal and visible is None,
        enable_gqa=group > 1,
    )


def _only_math_groups(q_BHLE: Tensor) -> bool:
    """Whether grouped heads would leave only the slow kernel: flash alone groups, and wants halves.

    With a mask flash is out as well; the memory-efficient kernel then wants keys for every head.
    """
    return q_BHLE.is_cuda and q_BHLE.dtype not in _HALVES


def _attend_segments(
    q_1HNE: Tensor, k_1KNE: Tensor, v_1KNE: Tensor, segments: Segments, *, causal: bool
) -> Tensor:
    """Let each segment of a packed row see itself: flash attention where there is one for it."""
    flash = q_1HNE.is_cuda and q_1HNE.dtype in _HALVES and q_1HNE.shape[-1] % 8 == 0
    if flash:
        # Here, not above: it loads torch's compiler, which doubles the start of every command.
        from torch.nn.attention.varlen import varlen_attn

        q_NHE, k_NKE, v_NKE = (row[0].transpose(0, 1) for row in (q_1HNE, k_1KNE, v_1KNE))
        grouped: dict[str, Any] = {"enable_gqa": True} if k_1KNE.shape[1] != q_1HNE.shape[1] else {}
        mixed_NHE = varlen_attn(
            q_NHE,
            k_NKE,
            v_NKE,
            segments.bounds_S,
            segments.bounds_S,
            segments.longest,
            segments.longest,
            window_size=(-1, 0 if causal else -1),
            **grouped,  # by older releases of torch unknown
        )
        assert isinstance(mixed_NHE, Tensor)
        return mixed_NHE.transpose(0, 1)[None]
    mixed, start = [], 0
    for count, length in segments.groups:
        end = start + count * length
        q_SHLE, k_SKLE, v_SKLE = (
            row[0, :, start:end].reshape(-1, count, length, row.shape[-1]).transpose(0, 1)
            for row in (q_1HNE, k_1KNE, v_1KNE)
        )
        out_SHLE = attend(q_SHLE, k_SKLE, v_SKLE, None, causal=causal)
        mixed.append(out_SHLE.transpose(0, 1).flatten(1, 2))
        start = end
    return torch.cat(mixed, dim=1)[None]
