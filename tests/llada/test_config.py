"""Model sizes: the published counts, and the combinations that cannot be built."""

import pytest
from pydantic import ValidationError

from llada.config import PRESETS, ModelConfig
from llada.errors import LladaError


@pytest.mark.parametrize(
    ("name", "total", "non_embedding"),
    [
        ("llada-1b", 1.49e9, 0.97e9),
        ("llada-8b", 8.015e9, 6.979e9),
        ("illada-8b", 7.62e9, 6.98e9),
        ("arm-1b", 1.49e9, 0.97e9),
        ("arm-7b", 6.83e9, 5.80e9),
    ],
)
def test_published_parameter_counts(name: str, total: float, non_embedding: float) -> None:
    config = ModelConfig.preset(name)
    assert config.parameter_count() == pytest.approx(total, rel=4e-3)
    assert config.non_embedding_parameter_count() == pytest.approx(non_embedding, rel=2e-3)


def test_tiny_is_tiny() -> None:
    assert 2.5e6 < ModelConfig.preset("tiny").parameter_count() < 3e6


def test_only_the_autoregressive_baselines_are_causal() -> None:
    causal = {name for name in PRESETS if ModelConfig.preset(name).causal}
    assert causal == {"arm-1b", "arm-7b"}


def test_overrides_replace_and_typos_fail() -> None:
    assert ModelConfig.preset("tiny", n_layers=2).n_layers == 2
    with pytest.raises(ValidationError, match="n_layer\n"):
        ModelConfig.preset("tiny", n_layer=2)


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(LladaError, match=r"'llada-9b'.*llada-8b"):
        ModelConfig.preset("llada-9b")


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"n_heads": 7}, "n_heads=7"),
        ({"n_heads": 32}, "heads of 5"),
        ({"n_kv_heads": 3}, "n_kv_heads=3"),
        ({"mask_token_id": 4096}, "mask_token_id=4096"),
        ({"eos_token_id": -1}, "eos_token_id=-1"),
        ({"eos_token_id": 4}, "both 4"),
        ({"n_layers": 0}, "n_layers"),
    ],
)
def test_impossible_sizes_say_what_was_found(wrong: dict[str, int], found: str) -> None:
    with pytest.raises(ValidationError, match=found):
        ModelConfig.preset("tiny", **wrong)
