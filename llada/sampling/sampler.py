"""From a prompt to an answer, and what comes out.

Shapes: B batch, P prompt, T prompt plus answer.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from llada.sampling.candidates import Rng, check_generators
from llada.sampling.canvas import Canvas, ConfiguredPredictor, check_ids, check_rows
from llada.sampling.config import SamplingConfig
from llada.sampling.loop import Filling
from llada.sampling.trace import OnStep
from llada.tokenizer import Tokenizer


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
    rng: Rng = None,
    on_step: OnStep | None = None,
) -> Generation:
    """Answer a batch of prompts; left-padded ones need their `attention_mask` (B, P), 0 on padding.

    Equal to the official implementation, token for token, at temperature 0 in float32, except that
    the mask id itself is never committed: there such a position would stay masked for good.

    `rng` is one generator for the batch, or a list with one for each row: then the text of a row
    does not depend on the rows beside it. `on_step` is called after every step (`Step`).
    """
    check_ids(model.config, config)
    check_rows(
        "prompts",
        prompt_ids_BP,
        {"attention mask": attention_mask},
        "add the batch axis, and leave the answer out of the mask",
    )
    check_generators(rng, len(prompt_ids_BP))
    with torch.inference_mode():
        canvas = Canvas.of_prompts(
            prompt_ids_BP, config, model.config.mask_token_id, attention_mask
        )
        filling = Filling(model, canvas, config, rng, on_step)
        filling.run()
    # A clone made outside inference mode: callers may train on the ids.
    return Generation(filling.ids_BT.clone(), prompt_ids_BP.shape[1], filling.forward_passes)


def _until(ids: list[int], ends: tuple[int, ...]) -> list[int]:
    """Return the ids before the first of the ends."""
    cut = next((i for i, token in enumerate(ids) if token in ends), len(ids))
    return ids[:cut]
