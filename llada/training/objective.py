"""The predictor together with its loss: the module whose forward pass DeepSpeed shards."""

from torch import Tensor, nn

from llada.diffusion import masked_losses
from llada.model import MaskPredictor
from llada.training.tally import tally


class Objective(nn.Module):
    """From a micro-batch to its share of the loss of the global batch."""

    def __init__(self, predictor: MaskPredictor, chunk_rows: int | None) -> None:
        """Hold the predictor; at most `chunk_rows` rows of logits are alive at once (None: all)."""
        super().__init__()
        self.predictor = predictor
        self._chunk_rows = chunk_rows

    def forward(  # noqa: PLR0917  the fields of a Batch
        self,
        noisy_BL: Tensor,
        targets_BL: Tensor,
        masked_BL: Tensor,
        weight_BL: Tensor,
        attention_BL: Tensor | None,
        time_B: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return this micro-batch's share of the loss of the global batch, and its `tally`.

        Every rank calls the same submodules in the same order, shortened row or not: under ZeRO-3
        a call is a collective.
        """
        losses = masked_losses(
            self.predictor,
            noisy_BL,
            targets_BL,
            masked_BL,
            weight_BL,
            attention_mask=attention_BL,
            chunk_rows=self._chunk_rows,
        )
        return losses.total, tally(losses.ce_M, masked_BL, time_B)
