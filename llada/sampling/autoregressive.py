"""Left to right, one token a pass: how the autoregressive baseline answers.

No cache: every pass reads the whole text again, which is fine for the short answers this baseline
is compared on. Shapes: B batch, P prompt, T prompt plus answer, V vocabulary.
"""

import torch
from torch import Tensor

from llada.autoregressive import require_causal
from llada.errors import LladaError
from llada.model import MaskPredictor, hidden_and_head
from llada.sampling.sampler import Generation


def generate_autoregressive(
    model: MaskPredictor,
    prompt_ids_BP: Tensor,
    max_new: int,
    *,
    eos_id: int | None = None,
    temperature: float = 0.0,
    rng: torch.Generator | None = None,
) -> Generation:
    """Continue prompts of one length by up to `max_new` tokens each.

    Temperature 0 takes the likeliest token. A row that has said `eos_id` goes on with `eos_id`;
    once all rows have, the rest is filled in without further passes.

    Raises:
        LladaError: the model is not causal, a prompt is empty, or the text would be too long.
    """
    require_causal(model.config)
    rows, length = prompt_ids_BP.shape
    if length < 1 or max_new < 1 or length + max_new > model.config.max_sequence_length:
        raise LladaError(
            f"prompts of {length} tokens and max_new={max_new}; both need 1 or more and together "
            f"at most {model.config.max_sequence_length}, what the model reads: ask for less"
        )
    ids_BT = prompt_ids_BP.to(model.device)
    ended_B = torch.zeros(rows, dtype=torch.bool, device=model.device)
    passes = 0
    with torch.inference_mode():
        while passes < max_new and not bool(ended_B.all()):
            hidden_BTD, head = hidden_and_head(model, ids_BT)
            next_B = _choose(head(hidden_BTD[:, -1]), temperature, rng)
            if eos_id is not None:
                next_B = next_B.masked_fill(ended_B, eos_id)
                ended_B = ended_B | (next_B == eos_id)
            ids_BT = torch.cat([ids_BT, next_B[:, None]], dim=1)
            passes += 1
        if passes < max_new:
            assert eos_id is not None
            rest_BT = ids_BT.new_full((rows, max_new - passes), eos_id)
            ids_BT = torch.cat([ids_BT, rest_BT], dim=1)
    return Generation(ids_BT.clone(), length, passes)


def _choose(logits_BV: Tensor, temperature: float, rng: torch.Generator | None) -> Tensor:
    """Take the likeliest token at temperature 0, else draw from softmax(logits / temperature)."""
    if temperature == 0.0:
        return logits_BV.argmax(-1)
    p_BV = (logits_BV.double() / temperature).softmax(-1)
    return torch.multinomial(p_BV, 1, generator=rng)[:, 0]
