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
from llada.sampling import SamplingConfig, generate
from llada.sampling.remasking import STRATEGIES

SEED = 0
PROMPTS = [[0, 7, 100, 8, 200, 300, 9], [0, 7, 101, 8, 400, 500, 9]]


def transcript(strategy: str) -> object:
    """Sample the untrained tiny model: every answer token, with blocks, guidance and noise."""
    rng = torch.Generator().manual_seed(SEED)
    model = MaskPredictor(ModelConfig.preset("tiny"), rng=rng)
    config = SamplingConfig(
        steps=8,
        gen_length=32,
        block_length=16,
        temperature=0.7,
        cfg_scale=0.5,
        remasking=strategy,
        deferred_ids=(model.config.eos_token_id,),
    )
    generation = generate(model, torch.tensor(PROMPTS), config, rng=rng)
    return {
        "config": config.model_dump(mode="json"),
        "ids": generation.ids_BT.tolist(),
        "forward_passes": generation.forward_passes,
    }


GOLDEN: Mapping[str, Callable[[], object]] = {
    f"sampling_{strategy}.json": partial(transcript, strategy) for strategy in STRATEGIES
}


if __name__ == "__main__":
    for name, compute in GOLDEN.items():
        text = json.dumps(compute(), indent=1) + "\n"
        Path(__file__).with_name(name).write_text(text, encoding="utf-8")
