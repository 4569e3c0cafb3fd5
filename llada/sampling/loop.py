"""The reverse process: fill the masks of a canvas, the surest first (paper, Algorithms 4 and 5).

Shapes: B batch, T prompt plus answer, L block, N candidates a row (masked positions of its block),
K most commits a row in one step.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from llada.sampling.candidates import Guess, Judge, Rng
from llada.sampling.canvas import Canvas, ConfiguredPredictor
from llada.sampling.config import SamplingConfig
from llada.sampling.passes import Passes
from llada.sampling.quota import quota
from llada.sampling.trace import OnStep, Step


class Filling:
    """One generation under way."""

    def __init__(
        self,
        model: ConfiguredPredictor,
        canvas: Canvas,
        config: SamplingConfig,
        rng: Rng,
        on_step: OnStep | None,
    ) -> None:
        """Take the canvas as it is; it is not changed, the filling makes others from it."""
        self._canvas = canvas  # of the rows that are not finished
        self._rows: Sequence[int] = range(len(canvas.ids_BT))  # which of the batch they are
        self._batch_BT = canvas.ids_BT  # the batch, up to date in the finished rows only
        self._passes = Passes(model, canvas, config)
        self._config, self._rng, self._on_step = config, rng, on_step
        self._judge = Judge(model.config, config, canvas.ids_BT.device)
        self._eos_id = model.config.eos_token_id
        # A block never takes more steps than it has masks: the rest would commit nothing.
        self._block_steps = config.steps // config.blocks
        self._steps = sum(min(self._block_steps, max(counts, default=0)) for counts in canvas.left)
        self._step = 0

    @property
    def ids_BT(self) -> Tensor:  # noqa: N802  (wears its shape)
        """The whole batch as it stands."""
        return self._of_batch(self._canvas.ids_BT, self._batch_BT)

    @property
    def forward_passes(self) -> int:
        """Passes so far; guidance takes two a step."""
        return self._passes.count

    def run(self) -> None:
        """Fill the blocks from left to right."""
        for block in range(self._config.blocks):
            self._fill(block)
            if self._config.early_exit and block + 1 < self._config.blocks:
                self._retire()
            if not self._rows:
                break

    def _fill(self, block: int) -> None:
        """Give every row of the block its tokens; all rows take their steps together."""
        left = self._canvas.left[block]
        length, width = self._config.block_length, self._canvas.ids_BT.shape[1]
        place_L = torch.arange(length, device=self._canvas.ids_BT.device) + block * length
        place_BL = self._canvas.start_B[:, None] + place_L
        inside_BL = place_BL < width
        place_BL = place_BL.clamp(max=width - 1)
        for step in range(self._block_steps):
            if not any(left):
                break
            open_BL = self._canvas.masked_BT.gather(1, place_BL) & inside_BL
            # The masked positions of every row, in order, without asking the device how many.
            slot_BN = (~open_BL).byte().argsort(dim=1, stable=True)[:, : max(left)]
            hidden, head = self._passes.read(
                self._canvas, place_BL, slot_BN, block=block, step=step
            )
            guess = self._judge.guess(
                hidden, head, left, self._rng, confident=self._on_step is not None
            )
            due = [quota(count, self._block_steps - step)[0] for count in left]
            beyond_BN = ~open_BL.gather(1, slot_BN)
            place_BN = place_BL.gather(1, slot_BN).masked_fill(beyond_BN, width)
            due = self._due(guess, place_BN, due)
            committed_BT = self._commit(guess, place_BN, due)
            left = tuple(count - taken for count, taken in zip(left, due, strict=True))
            self._tell(block, guess, place_BN, committed_BT)

    def _due(self, guess: Guess, place_BN: Tensor, due: list[int]) -> list[int]:
        """Raise what a step is due to what the model is sure of, if that is asked for.

        The one question to the device that a step may ask: how many masks are left hangs on it.
        """
        if self._config.parallel is None:
            return due
        beyond_BN = place_BN == self._canvas.ids_BT.shape[1]
        sure_B = self._config.parallel.sure(guess.score_BN.masked_fill(beyond_BN, -torch.inf))
        return [max(pair) for pair in zip(due, sure_B.tolist(), strict=True)]

    def _commit(self, guess: Guess, place_BN: Tensor, due: Sequence[int]) -> Tensor:
        """Write the best guesses of each row; those at the column beyond the text do not count."""
        canvas, most = self._canvas, max(due)
        score_BT = _spread(guess.score_BN, place_BN, canvas.ids_BT, -torch.inf)
        best_BK = score_BT.topk(most).indices
        taken_BK = torch.ones_like(best_BK, dtype=torch.bool)
        if min(due) < most:
            due_B = torch.tensor(due, device=best_BK.device)
            taken_BK = torch.arange(most, device=best_BK.device) < due_B[:, None]
        committed_BT = torch.zeros_like(canvas.masked_BT).scatter(1, best_BK, taken_BK)
        token_BT = _spread(guess.token_BN, place_BN, canvas.ids_BT, 0)
        self._canvas = replace(
            canvas,
            ids_BT=torch.where(committed_BT, token_BT, canvas.ids_BT),
            masked_BT=canvas.masked_BT & ~committed_BT,
        )
        return committed_BT

    def _retire(self) -> None:
        """Take the rows with an end of text out of the batch; all after it could only be cut."""
        canvas = self._canvas
        column_T = torch.arange(canvas.ids_BT.shape[1], device=canvas.ids_BT.device)
        end_BT = (canvas.ids_BT == self._eos_id) & (column_T >= canvas.start_B[:, None])
        ended_B = end_BT.any(1)
        ended = ended_B.tolist()
        if not any(ended):
            return
        rest_BT = canvas.masked_BT & ended_B[:, None]
        self._canvas = replace(canvas, ids_BT=canvas.ids_BT.masked_fill(rest_BT, self._eos_id))
        self._batch_BT = self.ids_BT
        kept = [row for row, done in enumerate(ended) if not done]
        self._canvas = self._canvas.rows(kept)
        self._rows = [self._rows[row] for row in kept]
        if isinstance(self._rng, Sequence):
            self._rng = [self._rng[row] for row in kept]

    def _of_batch(self, live: Tensor, batch: Tensor) -> Tensor:
        """Put the rows under way among the finished ones."""
        if len(live) == len(batch):
            return live
        return batch.index_copy(
            0, torch.tensor(self._rows, dtype=torch.long, device=batch.device), live
        )

    def _tell(self, block: int, guess: Guess, place_BN: Tensor, committed_BT: Tensor) -> None:
        """Show the step to whoever watches."""
        if self._on_step is not None and guess.confidence_BN is not None:
            sure_BT = _spread(guess.confidence_BN, place_BN, committed_BT, 0.0) * committed_BT
            none_BT = torch.zeros_like(self._batch_BT, dtype=torch.bool)
            self._on_step(
                Step(
                    step=self._step,
                    steps=self._steps,
                    block=block,
                    blocks=self._config.blocks,
                    ids_BT=self.ids_BT.clone(),
                    committed_BT=self._of_batch(committed_BT, none_BT),
                    confidence_BT=self._of_batch(sure_BT, none_BT.to(sure_BT.dtype)),
                    forward_passes=self.forward_passes,
                )
            )
        self._step += 1


def _spread(value_BN: Tensor, place_BN: Tensor, like_BT: Tensor, rest: float) -> Tensor:
    """Put values at their columns; column T, where rows with fewer candidates point, is cut off."""
    rows, width = like_BT.shape
    return value_BN.new_full((rows, width + 1), rest).scatter(1, place_BN, value_BN)[:, :width]
