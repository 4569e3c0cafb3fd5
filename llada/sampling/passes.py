"""The passes of the model that a step costs: over everything, or over what is not kept.

Shapes: B batch, T prompt plus answer, L block, W window, N candidates a row, D model width.
"""

import torch
from torch import Tensor

from llada.errors import LladaError
from llada.model import MaskPredictor, hidden_and_head
from llada.sampling.candidates import Head
from llada.sampling.canvas import Canvas, ConfiguredPredictor
from llada.sampling.config import SamplingConfig
from llada.sampling.prepared import Prepared, new_cache


class Passes:
    """Runs the model over the canvas, with and, under guidance, without the prompt."""

    def __init__(self, model: ConfiguredPredictor, canvas: Canvas, config: SamplingConfig) -> None:
        """Allocate what is kept between passes, once."""
        self._model = model.model if isinstance(model, Prepared) else model
        self._config = config
        self._branches = 1 if config.cfg_scale == 0.0 else 2
        self.count = 0
        if config.cache != "none":
            rows, length = canvas.ids_BT.shape
            rows *= self._branches
            self._cached: MaskPredictor | Prepared
            if isinstance(model, Prepared):
                self._cached, self._cache = model, model.new_cache(rows, length)
            else:
                self._cached = _cacheable(model, config)
                self._cache = new_cache(self._cached, rows, length)

    def read(
        self, canvas: Canvas, place_BL: Tensor, slot_BN: Tensor, *, block: int, step: int
    ) -> tuple[tuple[Tensor, ...], Head]:
        """Return hidden_BND at some slots of a block, for each branch of guidance, and the head.

        `place_BL` are the columns of the block, `step` counts within it.
        """
        self.count += self._branches
        ids_BT, mask_BT = canvas.ids_BT, canvas.attention_mask
        if self._branches == 2:
            blind_BT = ids_BT.masked_fill(canvas.prompt_BT, self._model.config.mask_token_id)
            ids_BT = torch.cat([ids_BT, blind_BT])
            mask_BT = None if mask_BT is None else mask_BT.repeat(2, 1)
            place_BL, slot_BN = place_BL.repeat(2, 1), slot_BN.repeat(2, 1)
        read_BN = place_BL.gather(1, slot_BN)
        if self._config.cache == "none":
            first_B1 = torch.arange(len(ids_BT), device=ids_BT.device)[:, None] * ids_BT.shape[1]
            place_N = (first_B1 + read_BN).flatten()
            h_ND, head = hidden_and_head(self._model, ids_BT, mask_BT, place_N=place_N)
            return h_ND.view(*read_BN.shape, -1).chunk(self._branches), head
        head = self._cached.head
        window_BW = None
        if step % (self._config.cache_refresh or self._config.steps):
            window_BW = self._window(canvas, place_BL, block)
            ids_BT, read_BN = ids_BT.gather(1, window_BW), slot_BN
        else:
            self._cache.begin(len(ids_BT), mask_BT)
        hidden = self._cached.hidden_cached(ids_BT, self._cache, window_BW)
        index_BND = read_BN[:, :, None].expand(-1, -1, hidden.shape[-1])
        return hidden.gather(1, index_BND).chunk(self._branches), head

    def _window(self, canvas: Canvas, place_BL: Tensor, block: int) -> Tensor:
        """Return the columns that a step computes anew, those of the block first.

        The prefix window of a row ends with the text, whose last column repeats where another row
        begins further left: all windows are of one length.
        """
        if self._config.cache == "dual":
            return place_BL
        length, width = self._config.block_length, canvas.ids_BT.shape[1]
        longest = max(length, width - canvas.first - block * length)
        offset_W = torch.arange(longest, device=place_BL.device)
        return (place_BL[:, :1] + offset_W).clamp(max=width - 1)


def _cacheable(model: ConfiguredPredictor, config: SamplingConfig) -> MaskPredictor:
    """Refuse models whose attention cannot be given keys and values from before."""
    if not isinstance(model, MaskPredictor) or model.config.causal:
        found = "a causal model" if isinstance(model, MaskPredictor) else type(model).__name__
        raise LladaError(
            f"cache={config.cache!r} with {found}; keys and values are kept of a MaskPredictor "
            f"that is not causal: give one, or use cache='none'"
        )
    return model
