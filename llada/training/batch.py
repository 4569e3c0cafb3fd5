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

from llada import noise
from llada.training.config import TrainingConfig
from llada.training.draws import Purpose, shuffled, uniforms
from llada.training.errors import ShardError
from llada.training.shards import Shard, map_shards, packed_ids, ragged_ids, texts


class Batch(NamedTuple):
    """Rows ready for one forward pass.

    `attention_BL` is False on positions that do not exist (a shortened row); None when all do.
    `time_B` is each row's t, by which losses are told apart; 0 where there is no noise.
    """

    noisy_BL: Tensor
    targets_BL: Tensor
    masked_BL: Tensor
    weight_BL: Tensor
    attention_BL: Tensor | None
    time_B: Tensor


class Noise(NamedTuple):
    """What was drawn for some rows: masks, the weight of each row's tokens, and its t."""

    masked_BL: NDArray[np.bool_]
    weight_B: NDArray[np.float64]
    time_B: Tensor


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
    def lengths(self, step: int) -> NDArray[np.int64]:
        """Return the number of positions of each row of the global batch of `step`."""

    def tokens(self, step: int) -> int:
        """Return the number of positions in the global batch of `step`, after cutting and padding.

        Padding is EOS and counts: it is read and learnt.
        """
        return int(self.lengths(step).sum())

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

    def _corrupt(self, maskable_BL: NDArray[np.bool_], step: int, first: int) -> Noise:
        """Draw t per row and a mask over its maskable positions."""
        training, rows = self._training, len(maskable_BL)
        seed, size = training.seed, training.batch_size
        draws_G = torch.from_numpy(uniforms(seed, Purpose.NOISE_LEVEL, step, 0, size))
        time_B = noise.times(training.noise.times)(draws_G)[first : first + rows]
        keys_BL = np.ones(maskable_BL.shape)
        for row, maskable_L in enumerate(maskable_BL):
            count = int(maskable_L.sum())
            keys_BL[row, maskable_L] = uniforms(seed, Purpose.MASK, step, first + row, count)
        masked_BL, weight_B = noise.masks(training.noise.masks)(
            time_B, torch.from_numpy(keys_BL), torch.from_numpy(maskable_BL), training.mask_floor
        )
        return Noise(masked_BL.numpy(), weight_B.numpy(), time_B)

    def _pack(
        self,
        targets_BL: NDArray[np.int64],
        drawn: Noise,
        attention_BL: NDArray[np.bool_] | None,
    ) -> Batch:
        if (found := int(targets_BL.max())) >= self._vocabulary.size:
            msg = (
                f"token id {found} in the data, the model's vocabulary has {self._vocabulary.size} "
                "ids; the shards were built with another tokenizer"
            )
            raise ShardError(msg)
        noisy_BL = np.where(drawn.masked_BL, self._vocabulary.mask_id, targets_BL)
        weight_BL = np.broadcast_to(drawn.weight_B[:, None], targets_BL.shape).astype(np.float32)
        attention = None if attention_BL is None else torch.from_numpy(attention_BL)
        arrays = (noisy_BL, targets_BL, drawn.masked_BL, weight_BL)
        noisy, targets, masked, weight = map(torch.from_numpy, arrays)
        return Batch(noisy, targets, masked, weight, attention, drawn.time_B)


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
        drawn = self._corrupt(exists_BL, step, indices.start)
        share = drawn._replace(weight_B=drawn.weight_B / self.tokens(step))
        return self._pack(targets_BL, share, None if exists_BL.all() else exists_BL)

    def _clean(self, step: int, indices: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the clean ids of some rows, whole, and the length each is cut to."""
        order = self._order(step)
        ids_BL = np.stack([self._ids[order[i][1]] for i in indices]).astype(np.int64)
        return ids_BL, self.lengths(step)[indices.start : indices.stop]

    def lengths(self, step: int) -> NDArray[np.int64]:
        """Return the length each row of the global batch is cut to."""
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
        drawn = self._corrupt(response_BL, step, indices.start)
        weight_B = drawn.weight_B / response_BL.sum(axis=1) / self._training.batch_size
        return self._pack(targets_BL, drawn._replace(weight_B=weight_B), None)

    def lengths(self, step: int) -> NDArray[np.int64]:
        """Return one width for all rows: they are padded to the longest of the global batch."""
        return np.full(self._training.batch_size, self._width(self._pairs(step)))

    def _width(self, rows: list[int]) -> int:
        return int(self._lengths[rows].max())

    def _pairs(self, step: int) -> list[int]:
        return [self._turn(epoch, dialogue) for epoch, dialogue in self._order(step)]

    def _turn(self, epoch: int, dialogue: int) -> int:
        first, end = self._turn_starts[dialogue], self._turn_starts[dialogue + 1]
        draw = uniforms(self._training.seed, Purpose.TURN, epoch, dialogue, 1)[0]
        return int(self._turns[first + int(draw * (end - first))])
