"""What a generation starts from: text and masks, and the blocks in which the masks are filled.

Shapes: B batch, P prompt, T the whole text, L block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from llada.config import ModelConfig
from llada.errors import LladaError
from llada.model import Predictor
from llada.sampling.config import SamplingConfig


class ConfiguredPredictor(Predictor, Protocol):
    """A predictor that knows its special ids, as `MaskPredictor` does."""

    config: ModelConfig


@dataclass(frozen=True, eq=False)
class Canvas:
    """A batch of texts with masks to fill, block by block, from the left."""

    ids_BT: Tensor
    masked_BT: Tensor  # True where a token is still to be found
    prompt_BT: Tensor  # True where guidance hides the text
    start_B: Tensor  # the column where the first block of each row begins
    first: int  # the leftmost of them, on the host
    # left[block][row]: how many masks. On the host, so that no step has to ask the device.
    left: tuple[tuple[int, ...], ...]
    attention_mask: Tensor | None = None

    @classmethod
    def of_prompts(
        cls,
        prompt_ids_BP: Tensor,
        config: SamplingConfig,
        mask_id: int,
        attention_mask: Tensor | None,
    ) -> Self:
        """Append an answer of masks to every prompt. Mask ids in a prompt are text, and stay."""
        rows, start = prompt_ids_BP.shape
        ids_BT = _append(prompt_ids_BP, config.gen_length, mask_id)
        none_BP = torch.zeros_like(prompt_ids_BP, dtype=torch.bool)
        attention_mask = _needed(attention_mask)
        if attention_mask is not None:
            attention_mask = _append(attention_mask, config.gen_length, 1)
        return cls(
            ids_BT,
            _append(none_BP, config.gen_length, True),
            ids_BT != mask_id,
            torch.full((rows,), start, device=ids_BT.device),
            start,
            ((config.block_length,) * rows,) * config.blocks,
            attention_mask,
        )

    @classmethod
    def of_template(
        cls,
        template_ids_BT: Tensor,
        fixed_BT: Tensor,
        config: SamplingConfig,
        mask_id: int,
        attention_mask: Tensor | None,
    ) -> Self:
        """Fill what is not fixed. The blocks of a row begin at its first mask."""
        attention_mask = _needed(attention_mask)
        masked_BT = ~fixed_BT
        ids_BT = template_ids_BT.masked_fill(masked_BT, mask_id)
        start_B = masked_BT.int().argmax(1)
        offset_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device) - start_B[:, None]
        reach = int((offset_BT * masked_BT).max()) + 1
        if reach > config.gen_length:
            raise LladaError(
                f"the masks of a template reach over {reach} positions, gen_length is "
                f"{config.gen_length}; the blocks must cover them: raise gen_length to {reach} or "
                f"more, as a multiple of block_length"
            )
        block_BT = offset_BT // config.block_length
        left = tuple(
            tuple((masked_BT & (block_BT == block)).sum(1).tolist())
            for block in range(config.blocks)
        )
        first = int(start_B.min())
        return cls(ids_BT, masked_BT, ids_BT != mask_id, start_B, first, left, attention_mask)

    def rows(self, kept: Sequence[int]) -> Self:
        """Return some rows of the batch as a canvas of their own."""
        row_R = torch.tensor(kept, dtype=torch.long, device=self.ids_BT.device)
        mask = self.attention_mask
        return type(self)(
            self.ids_BT[row_R],
            self.masked_BT[row_R],
            self.prompt_BT[row_R],
            self.start_B[row_R],
            self.first,
            tuple(tuple(counts[row] for row in kept) for counts in self.left),
            None if mask is None else mask[row_R],
        )


def check_ids(model: ModelConfig, config: SamplingConfig) -> None:
    """Refuse ids outside the vocabulary, which would otherwise forbid nothing, or another token."""
    for field in ("forbidden_ids", "deferred_ids"):
        found = getattr(config, field)
        wrong = [token for token in found if not 0 <= token < model.vocab_size]
        if wrong:
            raise LladaError(
                f"{field} holds {wrong}; this model has ids 0 to {model.vocab_size - 1}: take the "
                f"ids from the tokenizer of this model"
            )


def check_rows(what: str, ids: Tensor, others: Mapping[str, Tensor | None], remedy: str) -> None:
    """Refuse ids that are not rows, and masks that are not theirs."""
    found = tuple(ids.shape)
    shapes = {name: None if mask is None else tuple(mask.shape) for name, mask in others.items()}
    if len(found) != 2 or any(shape not in (None, found) for shape in shapes.values()):
        masks = ", ".join(f"{name} of shape {shape}" for name, shape in shapes.items() if shape)
        raise LladaError(
            f"{what} of shape {found}, {masks or 'no mask'}; all must be (batch, length): {remedy}"
        )


def _needed(attention_mask: Tensor | None) -> Tensor | None:
    """Return a mask that hides something; one that does not would only rule out faster kernels."""
    return None if attention_mask is None or bool(attention_mask.all()) else attention_mask


def _append(head_BP: Tensor, length: int, value: int | bool) -> Tensor:
    """Return the rows, longer by `length` times the value."""
    return torch.cat([head_BP, head_BP.new_full((len(head_BP), length), value)], dim=1)
