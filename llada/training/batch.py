"""From a step and row numbers to noisy rows: what a forward pass reads, drawn without state.

Shapes: B rows, L positions. Weights arrive fully normalised: the loss of a step is the plain sum of
weight * CE over all masked positions of its global batch, whoever computes which part.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llada.diffusion import mask_probability
from llada.training.config import TrainingConfig
from llada.training.draws import Purpose, shuffled, uniforms
from llada.training.errors import ShardError
from llada.training.shards import Shard, map_shards, packed_ids, ragged_ids, texts


class Batch(NamedTuple):
    """Rows ready for one forward pass.

    `attention_BL` is False on positions that do not exist (a shortened row); None when all do.
    """

    noisy_BL: Tensor
    targets_BL: Tensor
    masked_BL: Tensor
    weight_BL: Tensor
    attention_BL: Tensor | None


@dataclass(frozen=True)
class Vocabulary:
    """The ids a batch needs to know."""

    size: int
    mask_id: int
    eos_id: int


class Data(ABC):
    """Rows of a corpus by (step, index in the global batch); the same for any worker count."""

    def __init__(self, training: TrainingConfig, vocabulary: Vocabulary, rows: int) -> None:
        """Shuffle `rows` anew in each epoch."""
        self._training, self._vocabulary, self._rows = training, vocabulary, rows

    @abstractmethod
    def batch(self, step: int, indices: range) -> Batch:
        """Return the rows with these indices of the global batch of `step`."""

    @abstractmethod
    def tokens(self, step: int) -> int:
        """Return the number of positions in the global batch of `step`."""

    def _order(self, step: int) -> list[tuple[int, int]]:
        """Return (epoch, row) for every index of the global batch of `step`."""
        size = self._training.batch_size
        places = np.arange(step * size, (step + 1) * size, dtype=np.uint64)
        epochs, positions = np.divmod(places, np.uint64(self._rows))
        rows = np.empty_like(positions)
        for epoch in np.unique(epochs):  # a batch may begin in one epoch and end in the next
            here = epochs == epoch
            rows[here] = shuffled(
                positions[here], self._rows, seed=self._training.seed, epoch=int(epoch)
            )
        return list(zip(epochs.tolist(), rows.tolist(), strict=True))

    def _corrupt(
        self, targets_BL: NDArray[np.int64], maskable_BL: NDArray[np.bool_], step: int, first: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Draw t per row and a mask over its maskable positions; also return 1/p per row."""
        seed, end = self._training.seed, first + len(targets_BL)
        t_B = torch.from_numpy(uniforms(seed, Purpose.NOISE_LEVEL, step, 0, end)[first:])
        p_B = mask_probability(t_B, self._training.mask_floor).numpy()
        masked_BL = np.zeros_like(maskable_BL)
        for row, maskable_L in enumerate(maskable_BL):
            draws = uniforms(seed, Purpose.MASK, step, first + row, int(maskable_L.sum()))
            masked_BL[row, maskable_L] = draws < p_B[row]
        return masked_BL, 1 / p_B

    def _pack(
        self,
        targets_BL: NDArray[np.int64],
        masked_BL: NDArray[np.bool_],
        weight_B: NDArray[np.float64],
        attention_BL: NDArray[np.bool_] | None,
    ) -> Batch:
        if (found := int(targets_BL.max())) >= self._vocabulary.size:
            msg = (
                f"token id {found} in the data, the model's vocabulary has {self._vocabulary.size} "
                "ids; the shards were built with another tokenizer"
            )
            raise ShardError(msg)
        noisy_BL = np.where(masked_BL, self._vocabulary.mask_id, targets_BL)
        weight_BL = np.broadcast_to(weight_B[:, None], targets_BL.shape).astype(np.float32)
        attention = None if attention_BL is None else torch.from_numpy(attention_BL)
        arrays = (noisy_BL, targets_BL, masked_BL, weight_BL)
        noisy, targets, masked, weight = map(torch.from_numpy, arrays)
        return Batch(noisy, targets, masked, weight, attention)


class PretrainData(Data):
    """Packed sequences; a drawn 1 % of them is cut to a length from U[1, L] (section 2.2).

    A cut row keeps its place in the rectangle; the positions past its length are not attended,
    never masked and not counted. Loss (equation 3) = sum of CE / p over the masked positions of the
    global batch, divided by its number of positions, so a short row weighs what it holds: dividing
    a micro-batch by its own length would give ten tokens the vote of four thousand.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        max_len: int,
        training: TrainingConfig,
        vocabulary: Vocabulary,
    ) -> None:
        """Map the shards (`input_ids` fixed_size_list<uint16|uint32>[L]).

        Raises:
            ShardError: L is above `max_len`.
        """
        self._ids, self._seq_len = packed_ids(map_shards(shards), "input_ids")
        if self._seq_len > max_len:
            msg = (
                f"rows of {self._seq_len} tokens, the model reads {max_len}; "
                "build the shards with a smaller seq_len, or use a longer model"
            )
            raise ShardError(msg)
        super().__init__(training, vocabulary, len(self._ids))

    def batch(self, step: int, indices: range) -> Batch:
        """Return the rows with these indices of the global batch of `step`."""
        targets_BL, length_B = self._clean(step, indices)
        exists_BL = np.arange(self._seq_len) < length_B[:, None]
        masked_BL, inverse_p_B = self._corrupt(targets_BL, exists_BL, step, indices.start)
        return self._pack(
            targets_BL,
            masked_BL,
            inverse_p_B / self.tokens(step),
            None if exists_BL.all() else exists_BL,
        )

    def tokens(self, step: int) -> int:
        """Return the number of positions in the global batch, after cutting."""
        return int(self._lengths(step).sum())

    def _clean(self, step: int, indices: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the clean ids of some rows, whole, and the length each is cut to."""
        order = self._order(step)
        ids_BL = np.stack([self._ids[order[i][1]] for i in indices]).astype(np.int64)
        return ids_BL, self._lengths(step)[indices.start : indices.stop]

    def _lengths(self, step: int) -> NDArray[np.int64]:
        size, seed = self._training.batch_size, self._training.seed
        draws_B2 = uniforms(seed, Purpose.LENGTH, step, 0, 2 * size).reshape(size, 2)
        short_B = draws_B2[:, 0] < self._training.random_length_fraction
        return np.where(
            short_B, 1 + np.floor(draws_B2[:, 1] * self._seq_len), self._seq_len
        ).astype(np.int64)


class SftData(Data):
    """Prompt and response pairs; padded with EOS, which is response and is learnt (section 2.3).

    Rows sharing a `doc_id` are the turns of one dialogue: an epoch visits each dialogue once and
    draws one of its turns (appendix B.1). `response_ids` is taken as it stands; the stage writing
    the shards ends each response. Loss (equation 5) = sum of CE / p over the masked response
    positions, over the row's response length with padding, over the rows of the global batch.
    The padded length is that of the longest row of the *global* batch.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        max_len: int,
        training: TrainingConfig,
        vocabulary: Vocabulary,
    ) -> None:
        """Map the shards (`prompt_ids`, `response_ids` lists of ids, `doc_id` string).

        Raises:
            ShardError: a pair is longer than `max_len`, or has no response.
        """
        mapped = map_shards(shards)
        self._prompts = ragged_ids(mapped, "prompt_ids")
        self._responses = ragged_ids(mapped, "response_ids")
        response_lengths = self._responses.lengths()
        self._lengths = self._prompts.lengths() + response_lengths
        if (longest := int(self._lengths.max())) > max_len:
            msg = (
                f"row {int(self._lengths.argmax())} has {longest} tokens, the model reads "
                f"{max_len}; drop long pairs when building the shards, or use a longer model"
            )
            raise ShardError(msg)
        if not response_lengths.all():
            row = int(response_lengths.argmin())
            msg = f"row {row} has an empty response; end every response with EOS in the shards"
            raise ShardError(msg)
        codes = texts(mapped, "doc_id").dictionary_encode().indices.to_numpy()
        self._turns = np.argsort(codes, kind="stable")
        self._turn_starts = np.searchsorted(codes[self._turns], np.arange(codes.max() + 2))
        super().__init__(training, vocabulary, len(self._turn_starts) - 1)

    def batch(self, step: int, indices: range) -> Batch:
        """Return the rows with these indices of the global batch of `step`."""
        rows = self._pairs(step)
        shape = (len(indices), self._width(rows))
        targets_BL = np.full(shape, self._vocabulary.eos_id, dtype=np.int64)
        response_BL = np.ones(shape, dtype=np.bool_)
        for place, index in enumerate(indices):
            prompt, response = self._prompts[rows[index]], self._responses[rows[index]]
            targets_BL[place, : len(prompt)] = prompt
            targets_BL[place, len(prompt) : len(prompt) + len(response)] = response
            response_BL[place, : len(prompt)] = False
        masked_BL, inverse_p_B = self._corrupt(targets_BL, response_BL, step, indices.start)
        weight_B = inverse_p_B / response_BL.sum(axis=1) / self._training.batch_size
        return self._pack(targets_BL, masked_BL, weight_B, None)

    def tokens(self, step: int) -> int:
        """Return the number of positions in the global batch, with padding."""
        return self._training.batch_size * self._width(self._pairs(step))

    def _width(self, rows: list[int]) -> int:
        return int(self._lengths[rows].max())

    def _pairs(self, step: int) -> list[int]:
        return [self._turn(epoch, dialogue) for epoch, dialogue in self._order(step)]

    def _turn(self, epoch: int, dialogue: int) -> int:
        first, end = self._turn_starts[dialogue], self._turn_starts[dialogue + 1]
        draw = uniforms(self._training.seed, Purpose.TURN, epoch, dialogue, 1)[0]
        return int(self._turns[first + int(draw * (end - first))])
