"""The same rows for the autoregressive baseline: every token is asked for from those before it."""

import numpy as np
import torch

from llada.training.batch import Batch, Noise, PretrainData
from llada.training.errors import ShardError


class NextTokenData(PretrainData):
    """Rows, order and lengths of `PretrainData`, without noise: position i predicts token i+1.

    The two objectives thus see the same text in the same order for the same budget. The loss is the
    sum of CE over all (length - 1) predictions of the global batch, divided by their number: nats a
    token. `noisy_BL` is the clean text and `masked_BL` marks the positions that predict. A cut
    row needs no attention mask: a causal model never looks at what follows.
    """

    def batch(self, step: int, indices: range) -> Batch:
        """Return the rows with these indices of the global batch of `step`."""
        ids_BL, length_B = self._clean(step, indices)
        predicts_BL = np.arange(self._seq_len) < length_B[:, None] - 1
        target_BL = np.roll(ids_BL, -1, axis=1)
        weight_B = np.full(len(ids_BL), 1 / self._predictions(step))
        drawn = Noise(predicts_BL, weight_B, torch.zeros(len(ids_BL)))
        packed = self._pack(target_BL, drawn, None)
        return packed._replace(noisy_BL=torch.from_numpy(ids_BL))

    def _predictions(self, step: int) -> int:
        """Return the number of predictions of the global batch of `step`."""
        predictions = int((self.lengths(step) - 1).sum())
        if predictions < 1:
            msg = (
                f"step {step}: all {self._training.batch_size} rows were cut to one token, which "
                "leaves nothing to predict; lower random_length_fraction, or enlarge batch_size"
            )
            raise ShardError(msg)
        return predictions
