"""The layers of the model: a norm, and the block of attention and SwiGLU that repeats.

Shapes: B batch, L sequence, D model width, H heads, K key/value heads, E head width, N places.
Attributes repeat the names of the published LLaDA layout.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its usual name)

from llada.attention import attend, rotate
from llada.cache import LayerCache
from llada.config import ModelConfig
from llada.segments import Segments


class RMSNorm(nn.Module):
    """Root-mean-square norm in float32, cast back *before* the weight as in the published model."""

    def __init__(self, width: int, eps: float) -> None:
        """Start as the identity scale."""
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Scale each row to unit mean square."""
        wide_BLD = x_BLD.float()
        wide_BLD = wide_BLD * torch.rsqrt(wide_BLD.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * wide_BLD.to(x_BLD.dtype)


class Block(nn.Module):
    """One transformer layer: attention, then SwiGLU, each behind a norm and added to the stream."""

    def __init__(self, config: ModelConfig) -> None:
        """Allocate the nine weights of a layer."""
        super().__init__()
        width, hidden = config.d_model, config.ffn_hidden
        self.config = config
        self.attn_norm = RMSNorm(width, config.rms_norm_eps)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, config.kv_dim, bias=False)
        self.v_proj = nn.Linear(width, config.kv_dim, bias=False)
        self.attn_out = nn.Linear(width, width, bias=False)
        self.ff_norm = RMSNorm(width, config.rms_norm_eps)
        self.ff_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.ff_out = nn.Linear(hidden, width, bias=False)

    def forward(
        self,
        x_BLD: Tensor,
        cos_LE: Tensor,
        sin_LE: Tensor,
        visible: Tensor | Segments | None,
        kept: LayerCache | None = None,
        *,
        place_N: Tensor | None = None,
    ) -> Tensor:
        """Mix tokens, then channels.

        With `place_N`, places in the flattened batch, only these leave the layer: as x_ND. All of
        them are still keys; what follows the mixing of tokens is three quarters of a layer's work.
        """
        mixed_BLD = self._mix(self.attn_norm(x_BLD), cos_LE, sin_LE, visible, kept)
        if place_N is not None:
            x_BLD, mixed_BLD = x_BLD.flatten(0, 1)[place_N], mixed_BLD.flatten(0, 1)[place_N]
        x_BLD = x_BLD + self.attn_out(mixed_BLD)
        h_BLD = self.ff_norm(x_BLD)
        out_BLD: Tensor = self.ff_out(F.silu(self.ff_proj(h_BLD)) * self.up_proj(h_BLD))
        return x_BLD + out_BLD

    def _mix(
        self,
        h_BLD: Tensor,
        cos_LE: Tensor,
        sin_LE: Tensor,
        visible: Tensor | Segments | None,
        kept: LayerCache | None,
    ) -> Tensor:
        heads = (self.config.head_dim,)
        q_BHLE = self.q_proj(h_BLD).unflatten(-1, (-1, *heads)).transpose(1, 2)
        k_BKLE = self.k_proj(h_BLD).unflatten(-1, (-1, *heads)).transpose(1, 2)
        v_BKLE = self.v_proj(h_BLD).unflatten(-1, (-1, *heads)).transpose(1, 2)
        q_BHLE, k_BKLE = rotate(q_BHLE, cos_LE, sin_LE), rotate(k_BKLE, cos_LE, sin_LE)
        if kept is not None:
            k_BKLE, v_BKLE = kept.update(k_BKLE, v_BKLE)
        mixed_BHLE = attend(q_BHLE, k_BKLE, v_BKLE, visible, causal=self.config.causal)
        return mixed_BHLE.transpose(1, 2).flatten(2)
