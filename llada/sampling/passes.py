"""The passes of the model that a step costs.

Shapes: B batch, T prompt plus answer, N positions asked for, D model width.
"""

import torch
from torch import Tensor

from llada.model import hidden_and_head
from llada.sampling.candidates import Head
from llada.sampling.canvas import Canvas, ConfiguredPredictor
from llada.sampling.config import SamplingConfig


class Passes:
    """Runs the model over the canvas, with and, under guidance, without the prompt."""

    def __init__(self, model: ConfiguredPredictor, config: SamplingConfig) -> None:
        """Count from zero."""
        self._model, self._guided = model, config.cfg_scale != 0.0
        self.count = 0

    def read(self, canvas: Canvas, place_BN: Tensor) -> tuple[tuple[Tensor, ...], Head]:
        """Return hidden_BND at the places, for each branch of guidance, and the head."""
        ids_BT, mask_BT = canvas.ids_BT, canvas.attention_mask
        if self._guided:
            blind_BT = ids_BT.masked_fill(canvas.prompt_BT, self._model.config.mask_token_id)
            ids_BT, place_BN = torch.cat([ids_BT, blind_BT]), place_BN.repeat(2, 1)
            mask_BT = None if mask_BT is None else mask_BT.repeat(2, 1)
        branches = 2 if self._guided else 1
        self.count += branches
        hidden_BTD, head = hidden_and_head(self._model, ids_BT, mask_BT)
        index_BND = place_BN[:, :, None].expand(-1, -1, hidden_BTD.shape[-1])
        return hidden_BTD.gather(1, index_BND).chunk(branches), head
