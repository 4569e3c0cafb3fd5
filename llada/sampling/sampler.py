"""The reverse process: from an answer of masks to text (paper, Algorithms 4 and 5).

Shapes: B batch, P prompt, T prompt plus answer, N candidate rows (masked positions of the current
block, all samples), V vocabulary.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from llada.config import ModelConfig
from llada.errors import LladaError
from llada.model import Predictor
from llada.sampling.config import SamplingConfig
from llada.sampling.guidance import guided_logits
from llada.sampling.quota import quota
from llada.sampling.remasking import STRATEGIES, uniform
from llada.tokenizer import Tokenizer


class ConfiguredPredictor(Predictor, Protocol):
    """A predictor that knows its special ids, as `MaskPredictor` does."""

    config: ModelConfig


@dataclass(frozen=True, eq=False)
class Generation:
    """What came out: `ids_BT` is prompt plus answer as sampled, nothing cut."""

    ids_BT: Tensor
    prompt_length: int
    forward_passes: int  # of the model over the batch; guidance takes two a step

    def answer_texts(self, tokenizer: Tokenizer) -> list[str]:
        """Return the answers up to the first end of text or turn: what follows it means nothing."""
        ends = (tokenizer.special.eos, tokenizer.special.eot)
        return [
            tokenizer.decode(_until(ids, ends))
            for ids in self.ids_BT[:, self.prompt_length :].tolist()
        ]


def generate(
    model: ConfiguredPredictor,
    prompt_ids_BP: Tensor,
    config: SamplingConfig,
    *,
    attention_mask: Tensor | None = None,
    rng: torch.Generator | None = None,
) -> Generation:
    """Answer a batch of prompts; left-padded ones need their `attention_mask` (B, P), 0 on padding.

    Equal to the official implementation, token for token, at temperature 0 in float32, except that
    the mask id itself is never committed: there such a position would stay masked for good.
    """
    _check_ids(model.config, config)
    _check_prompt(prompt_ids_BP, attention_mask)
    with torch.inference_mode():
        ids_BT, passes = _fill(model, prompt_ids_BP, config, attention_mask, rng)
    # A clone made outside inference mode: callers may train on the ids.
    return Generation(ids_BT.clone(), prompt_ids_BP.shape[1], passes)


def _fill(
    model: ConfiguredPredictor,
    prompt_ids_BP: Tensor,
    config: SamplingConfig,
    attention_mask: Tensor | None,
    rng: torch.Generator | None,
) -> tuple[Tensor, int]:
    """Return the finished ids and the number of passes they took."""
    mask_id = model.config.mask_token_id
    ids_BT = _append(prompt_ids_BP, config.gen_length, mask_id)
    masked_BT = _append(torch.zeros_like(prompt_ids_BP, dtype=torch.bool), config.gen_length, True)
    if attention_mask is not None:
        attention_mask = _append(attention_mask, config.gen_length, 1)
    # A mask id inside a prompt is text to leave alone, and nothing that guidance could hide.
    prompt_BT = ids_BT != mask_id
    # Steps beyond one a token would commit nothing: their passes are not run.
    counts = [n for n in quota(config.block_length, config.steps // config.blocks) if n]
    for block in range(config.blocks):
        start = prompt_ids_BP.shape[1] + block * config.block_length
        block_BT = torch.zeros_like(masked_BT)
        block_BT[:, start : start + config.block_length] = True
        for count in counts:
            rows_BT = masked_BT & block_BT
            logits_NV = guided_logits(
                model,
                ids_BT,
                rows_BT,
                prompt_BT=prompt_BT,
                mask_id=mask_id,
                scale=config.cfg_scale,
                attention_mask=attention_mask,
            )
            chosen_N, score_N = _predict(logits_NV, config, mask_id, rng)
            score_BT = score_N.new_full(ids_BT.shape, -torch.inf)
            score_BT[rows_BT] = score_N
            kept_BT = torch.zeros_like(masked_BT).scatter(1, score_BT.topk(count).indices, True)
            ids_BT[rows_BT] = torch.where(kept_BT[rows_BT], chosen_N, mask_id)
            masked_BT &= ~kept_BT
    return ids_BT, config.blocks * len(counts) * (1 if config.cfg_scale == 0.0 else 2)


def _predict(
    logits_NV: Tensor, config: SamplingConfig, mask_id: int, rng: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Return a token for every candidate row, and how much to keep it."""
    logits_NV = _without(logits_NV.float(), config.forbidden_ids)
    # The mask id is barred from the choice only: its probability still counts in the confidence,
    # as in the official implementation, whose order of commitment would otherwise differ.
    chosen_N = _choose(_without(logits_NV, (mask_id,)), config.temperature, rng)
    strategy = STRATEGIES[config.remasking]
    score_N = strategy(_without(logits_NV, config.deferred_ids), chosen_N, rng)
    last_N = torch.isin(chosen_N, chosen_N.new_tensor(config.deferred_ids))
    return chosen_N, score_N.masked_fill(last_N, torch.finfo(score_N.dtype).min)


def _choose(logits_NV: Tensor, temperature: float, rng: torch.Generator | None) -> Tensor:
    """Draw from softmax(logits / temperature) by the Gumbel trick; take the best at temperature 0.

    In float64: a coarser noise samples another distribution (arXiv 2409.02908).
    """
    if temperature == 0.0:
        return logits_NV.argmax(-1)
    noise_NV = -torch.log(-torch.log(uniform(logits_NV.shape, rng, logits_NV.device)))
    return (logits_NV.double() + temperature * noise_NV).argmax(-1)


def _without(logits_NV: Tensor, ids: tuple[int, ...]) -> Tensor:
    """Return the logits with some ids made impossible."""
    if not ids:
        return logits_NV
    return logits_NV.index_fill(-1, torch.tensor(ids, device=logits_NV.device), -torch.inf)


def _append(head_BP: Tensor, length: int, value: int | bool) -> Tensor:
    """Return the rows, longer by `length` times the value."""
    return torch.cat([head_BP, head_BP.new_full((len(head_BP), length), value)], dim=1)


def _until(ids: list[int], ends: tuple[int, ...]) -> list[int]:
    """Return the ids before the first of the ends."""
    cut = next((i for i, token in enumerate(ids) if token in ends), len(ids))
    return ids[:cut]


def _check_prompt(prompt_ids_BP: Tensor, attention_mask: Tensor | None) -> None:
    """Refuse prompts that are not rows, and a mask that is not theirs."""
    found = tuple(prompt_ids_BP.shape)
    shapes_agree = attention_mask is None or attention_mask.shape == found
    if len(found) != 2 or not shapes_agree:
        mask = "none" if attention_mask is None else tuple(attention_mask.shape)
        raise LladaError(
            f"prompts of shape {found}, attention mask of shape {mask}; both must be (batch, "
            f"prompt length): add the batch axis, and leave the answer out of the mask"
        )


def _check_ids(model: ModelConfig, config: SamplingConfig) -> None:
    """Refuse ids outside the vocabulary, which would otherwise forbid nothing, or another token."""
    for field in ("forbidden_ids", "deferred_ids"):
        found = getattr(config, field)
        wrong = [token for token in found if not 0 <= token < model.vocab_size]
        if wrong:
            raise LladaError(
                f"{field} holds {wrong}; this model has ids 0 to {model.vocab_size - 1}: take the "
                f"ids from the tokenizer of this model"
            )
