"""Nothing in a step may wait for the device: on a device without data, waiting is an error."""

import pytest
import torch

from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.sampling import SamplingConfig, Step, generate


@pytest.mark.parametrize(("temperature", "scale"), [(0.0, 0.0), (1.0, 1.0)])
@pytest.mark.parametrize("cache", ["none", "prefix", "dual"])
def test_steps_of_a_fixed_count_ask_the_device_nothing(
    config: ModelConfig, cache: str, temperature: float, scale: float
) -> None:
    with torch.device("meta"):
        model = MaskPredictor(config).requires_grad_(False)
        prompt = torch.zeros(2, 5, dtype=torch.long)
    settings = SamplingConfig.model_validate(
        {
            "steps": 4,
            "gen_length": 8,
            "block_length": 4,
            "temperature": temperature,
            "cfg_scale": scale,
            "cache": cache,
            "forbidden_ids": (7,),
            "deferred_ids": (1,),
        }
    )
    seen: list[Step] = []
    found = generate(
        model, prompt, settings, rng=torch.Generator().manual_seed(0), on_step=seen.append
    )
    assert found.ids_BT.shape == (2, 13)
    assert len(seen) == 4


def test_parallel_decoding_has_to_ask(config: ModelConfig) -> None:
    """So the test above can fail: here is a question, and the device without data refuses it."""
    with torch.device("meta"):
        model = MaskPredictor(config).requires_grad_(False)
        prompt = torch.zeros(2, 5, dtype=torch.long)
    settings = SamplingConfig.model_validate(
        {"steps": 8, "gen_length": 16, "block_length": 8, "parallel": {"threshold": 0.9}}
    )
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        generate(model, prompt, settings)
