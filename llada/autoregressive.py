"""The autoregressive baseline: how likely a causal model finds an answer, exactly.

The model is `MaskPredictor` with `ModelConfig.causal`: position i sees 0..i and predicts token i+1.
Shapes: P prompt, A answer, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from llada.config import ModelConfig
from llada.errors import LladaError
from llada.likelihood import Likelihood
from llada.model import MaskPredictor, hidden_and_head


def require_causal(config: ModelConfig) -> None:
    """Refuse a mask predictor where only the left context may be seen.

    Raises:
        LladaError: the model attends to both sides: next-token figures of it would be a fraud, as
            it reads the token it is asked for.
    """
    if not config.causal:
        raise LladaError(
            "this model attends to both sides (causal=False), so it sees the very token it should "
            "predict; next-token likelihood and sampling need a model trained with objective: "
            "autoregressive. For a mask predictor use log_likelihood and generate"
        )


def arm_log_likelihood(
    model: MaskPredictor, prompt_ids: Tensor | Sequence[int], answer_ids: Tensor | Sequence[int]
) -> Likelihood:
    """Return log p(answer | prompt) in nats by the chain rule: one pass, exact, so stderr is 0.

    The first token of a sequence has no predecessor; give the prompt at least one token. In packed
    training rows the end-of-text id precedes every document, so that id stands for "no prompt".

    Raises:
        LladaError: the model is not causal, or the prompt or the answer is empty.
    """
    require_causal(model.config)
    prompt_P, answer_A = (
        torch.as_tensor(ids, dtype=torch.long, device=model.device).reshape(-1)
        for ids in (prompt_ids, answer_ids)
    )
    if not len(prompt_P) or not len(answer_A):
        raise LladaError(
            f"a prompt of {len(prompt_P)} and an answer of {len(answer_A)} tokens; both need 1 or "
            "more: where there is no prompt, give the end-of-text id as one"
        )
    with torch.inference_mode():
        ids_1L = torch.cat([prompt_P, answer_A])[None]
        hidden_1LD, head = hidden_and_head(model, ids_1L)
        logits_AV = head(hidden_1LD[0, len(prompt_P) - 1 : -1]).float()
        log_p_A = logits_AV.log_softmax(-1).gather(-1, answer_A[:, None])
    return Likelihood(log_p_A.double().sum().item(), 0.0)
