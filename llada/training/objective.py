"""The predictor together with its loss: the module whose forward pass DeepSpeed shards."""

from torch import Tensor, nn

from llada.diffusion import weighted_masked_loss
from llada.model import MaskPredictor


class Objective(nn.Module):
    """From a micro-batch to its share of the loss of the global batch."""

    def __init__(self, predictor: MaskPredictor, chunk_rows: int) -> None:
        """Hold the predictor; at most `chunk_rows` rows of logits are alive at once."""
        super().__init__()
        self.predictor = predictor
        self._chunk_rows = chunk_rows

    def forward(
        self,
        noisy_BL: Tensor,
        targets_BL: Tensor,
        masked_BL: Tensor,
        weight_BL: Tensor,
        attention_BL: Tensor | None,
    ) -> Tensor:
        """Return this micro-batch's share of the loss of the global batch.

        Both ways call the same submodules in the same order: under ZeRO-3 a call is a collective,
        and one rank may hold a shortened row while another holds none.
        """
        if attention_BL is None:
            return weighted_masked_loss(
                self.predictor,
                noisy_BL,
                targets_BL,
                masked_BL,
                weight_BL,
                chunk_rows=self._chunk_rows,
            )
        rows_MD = self.predictor.hidden(noisy_BL, attention_BL)[masked_BL]

        def masked_rows(ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
            return self.predictor.head(rows_MD)[None]

        # The loss knows no attention mask: it gets the masked rows alone, as one text.
        rows = (part[masked_BL][None] for part in (noisy_BL, targets_BL, masked_BL, weight_BL))
        return weighted_masked_loss(masked_rows, *rows, chunk_rows=self._chunk_rows)
