"""Write the golden files anew: run `make golden`, then read the diff, which is the review.

To add one: a function that returns what JSON can hold, and its line in `GOLDEN`.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.sampling import Generation, SamplingConfig, generate, infill
from llada.sampling.remasking import STRATEGIES

SEED = 0
PROMPTS = [[0, 7, 100, 8, 200, 300, 9], [0, 7, 101, 8, 400, 500, 9]]


NOISE = {"steps": 8, "gen_length": 32, "block_length": 16, "temperature": 0.7, "cfg_scale": 0.5}
GREEDY = {"steps": 8, "gen_length": 32, "block_length": 16}


def transcript(settings: Mapping[str, object]) -> object:
    """Sample the untrained tiny model: every answer token."""
    rng = torch.Generator().manual_seed(SEED)
    model = MaskPredictor(ModelConfig.preset("tiny"), rng=rng)
    config = SamplingConfig.model_validate(settings)
    generation = generate(model, torch.tensor(PROMPTS), config, rng=rng)
    return _written(config, generation)


def filled_template(settings: Mapping[str, object]) -> object:
    """Fill gaps of one to five tokens, in two templates padded to one length."""
    model = MaskPredictor(ModelConfig.preset("tiny"), rng=torch.Generator().manual_seed(SEED))
    mask_id, eos_id = model.config.mask_token_id, model.config.eos_token_id
    gap = [mask_id] * 5
    templates = [
        [*PROMPTS[0], *gap, 60, mask_id, 61, *gap[1:]],
        [eos_id, eos_id, *PROMPTS[1], mask_id, 62, *gap, 63, 64, mask_id],
    ]
    mask = [[1] * 19, [0] * 2 + [1] * 17]
    config = SamplingConfig.model_validate(settings)
    generation = infill(model, torch.tensor(templates), config, attention_mask=torch.tensor(mask))
    return _written(config, generation)


def _written(config: SamplingConfig, generation: Generation) -> object:
    return {
        # What is set: an option added later leaves the files as they are.
        "config": config.model_dump(mode="json", exclude_unset=True),
        "ids": generation.ids_BT.tolist(),
        "forward_passes": generation.forward_passes,
    }


GOLDEN: Mapping[str, Callable[[], object]] = {
    **{
        f"sampling_{strategy}.json": partial(
            transcript, {**NOISE, "remasking": strategy, "deferred_ids": (1,)}
        )
        for strategy in STRATEGIES
    },
    "sampling_guided_blocks.json": partial(transcript, {**GREEDY, "cfg_scale": 1.5}),
    "sampling_infill.json": partial(
        filled_template, {"steps": 6, "gen_length": 12, "block_length": 6}
    ),
    "sampling_dual_cache.json": partial(transcript, {**GREEDY, "cache": "dual"}),
    "sampling_threshold.json": partial(
        transcript, {**GREEDY, "steps": 32, "parallel": {"threshold": 0.0045}}
    ),
    "sampling_entropy.json": partial(
        transcript, {**GREEDY, "steps": 32, "cache": "prefix", "parallel": {"entropy": 20.0}}
    ),
}


if __name__ == "__main__":
    for name, compute in GOLDEN.items():
        text = json.dumps(compute(), indent=1) + "\n"
        Path(__file__).with_name(name).write_text(text, encoding="utf-8")
