"""What the tests of the science share: a very small model, and generators with a seed."""

from collections.abc import Callable

import pytest
import torch

from llada.config import ModelConfig
from llada.model import MaskPredictor


@pytest.fixture(scope="session")
def config() -> ModelConfig:
    return ModelConfig.preset(
        "tiny", d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, ffn_hidden=48, vocab_size=96
    )


@pytest.fixture(scope="session")
def model(config: ModelConfig) -> MaskPredictor:
    return MaskPredictor(config, rng=torch.Generator().manual_seed(0)).requires_grad_(False)


@pytest.fixture
def seeded() -> Callable[[int], torch.Generator]:
    return lambda seed=0: torch.Generator().manual_seed(seed)
