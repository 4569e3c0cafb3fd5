"""Keys and values kept from an earlier pass, so that a later one computes a few positions only.

Exact for a causal model. For this one an approximation: what is kept does not see what the later
pass changes (Fast-dLLM, arXiv 2505.22618, shows how little that matters between near steps).

Shapes: B batch, T the whole text, N positions of a pass, K key/value heads, E head width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from llada.attention import rotary_angles, visible_keys
from llada.config import ModelConfig


@dataclass(frozen=True, eq=False)
class LayerCache:
    """The buffers of one layer for one pass: written where the pass computes, read everywhere."""

    key_BTKE: Tensor
    value_BTKE: Tensor
    place_BN: Tensor | None  # columns that the pass computes; None for all of them

    def update(self, k_BKNE: Tensor, v_BKNE: Tensor) -> tuple[Tensor, Tensor]:
        """Take in what the pass has computed; return keys and values of the whole text, BKTE."""
        pairs = ((self.key_BTKE, k_BKNE), (self.value_BTKE, v_BKNE))
        for kept_BTKE, new_BKNE in pairs:
            new_BNKE = new_BKNE.transpose(1, 2)
            if self.place_BN is None:
                kept_BTKE.copy_(new_BNKE)
            else:
                row_B1 = torch.arange(len(kept_BTKE), device=kept_BTKE.device)[:, None]
                kept_BTKE.index_put_((row_B1, self.place_BN), new_BNKE)
        return self.key_BTKE.transpose(1, 2), self.value_BTKE.transpose(1, 2)


class KeyValueCache:
    """Buffers for all layers, allocated once: 2 x layers x B x T x kv_dim numbers."""

    def __init__(
        self,
        config: ModelConfig,
        rows: int,
        length: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """Allocate for at most `rows` texts of `length` tokens; nothing is kept yet."""
        shape = (2, config.n_layers, rows, length, config.n_kv_heads, config.head_dim)
        self._kept = torch.empty(shape, dtype=dtype, device=device)
        self._rows, self._rows_in_use = rows, 0
        self._visible: Tensor | None = None
        self._masks: dict[int, Tensor] = {}  # by rows; a recorded pass reads where it lay
        # float32 whatever the model: angles do not survive bfloat16.
        position_T = torch.arange(length, device=device)
        angles_TE = rotary_angles(position_T, config.head_dim, config.rope_theta)
        self._cos_TE, self._sin_TE = angles_TE.cos(), angles_TE.sin()

    def begin(self, rows: int, attention_mask: Tensor | None) -> None:
        """Get ready for a pass over everything, of so many rows; the mask (B, T) stays in force."""
        assert rows <= self._rows, f"{rows} rows, the buffers have {self._rows}"
        self._rows_in_use = rows
        visible = visible_keys(attention_mask, None, causal=False)
        if visible is not None and rows in self._masks:
            visible = self._masks[rows].copy_(visible)
        elif visible is not None:
            with torch.inference_mode(False):  # where others may write to it as well
                visible = self._masks[rows] = visible.clone()
        self._visible = visible

    @property
    def visible(self) -> Tensor | None:
        """Which keys may be seen, as `attend` wants it."""
        return self._visible

    def rotation(self, place_BN: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of the positions of a pass, TE or B1NE."""
        if place_BN is None:
            return self._cos_TE, self._sin_TE
        return self._cos_TE[place_BN][:, None], self._sin_TE[place_BN][:, None]

    def layers(self, place_BN: Tensor | None) -> Iterator[LayerCache]:
        """Yield the buffers of each layer, for a pass over these positions."""
        for key, value in zip(*self._kept[:, :, : self._rows_in_use], strict=True):
            yield LayerCache(key, value, place_BN)
