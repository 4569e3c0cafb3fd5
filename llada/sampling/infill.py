"""Fill the gaps of a template: any mixture of text that stands and positions to be found.

Shapes: B batch, T template.
"""

import torch
from torch import Tensor

from llada.errors import LladaError
from llada.sampling.candidates import Rng, check_generators
from llada.sampling.canvas import Canvas, ConfiguredPredictor, check_ids, check_rows
from llada.sampling.config import SamplingConfig
from llada.sampling.loop import Filling
from llada.sampling.sampler import Generation
from llada.sampling.trace import OnStep


def infill(
    model: ConfiguredPredictor,
    template_ids_BT: Tensor,
    config: SamplingConfig,
    *,
    fixed_BT: Tensor | None = None,
    attention_mask: Tensor | None = None,
    rng: Rng = None,
    on_step: OnStep | None = None,
) -> Generation:
    """Fill every position that is not fixed; without `fixed_BT`, those that hold the mask id.

    The blocks of a row begin at its first gap, and `gen_length` must reach to its last one; a block
    shares its steps over the gaps it has, and one without gaps takes none. A prompt followed by
    masks gives what `generate` gives. Padding needs its `attention_mask` (B, T), 0 on padding, and
    is fixed like text. In the result, `prompt_length` is the number of columns before any gap.
    """
    if config.early_exit:
        raise LladaError(
            "early_exit=True; a template has text after its gaps, so no end of text ends it: "
            "leave early_exit out"
        )
    check_ids(model.config, config)
    check_rows(
        "templates",
        template_ids_BT,
        {"fixed": fixed_BT, "attention mask": attention_mask},
        "add the batch axis, and let the masks cover the whole template",
    )
    check_generators(rng, len(template_ids_BT))
    mask_id = model.config.mask_token_id
    with torch.inference_mode():
        fixed_BT = template_ids_BT != mask_id if fixed_BT is None else fixed_BT.bool()
        canvas = Canvas.of_template(template_ids_BT, fixed_BT, config, mask_id, attention_mask)
        filling = Filling(model, canvas, config, rng, on_step)
        filling.run()
    before = int(fixed_BT.all(0).long().cumprod(0).sum())
    return Generation(filling.ids_BT.clone(), before, filling.forward_passes)
