"""Model sizes: the published counts, and the combinations that cannot be built."""

import pytest
from pydantic import ValidationError

from llada.config import PRESETS, ModelConfig
from llada.errors import LladaError


@pytest.mark.parametrize(
    ("name", "total", "non_embedding"),
    [
        ("pico", 684_480, 160_192),
        ("nano", 1_266_528, 480_096),
        ("tiny", 2_976_480, 1_665_760),
        ("small", 27_924_864, 15_341_952),
        ("100m", 101_432_960, 59_489_920),
        # The paper prints 1.49 B / 0.97 B, 8.02 B / 6.98 B and 6.83 B / 5.80 B; the model card of
        # iLLaDA 7.62 B.
        ("llada-1b", 1_486_972_928, 968_976_384),
        ("arm-1b", 1_486_972_928, 968_976_384),
        ("llada-8b", 8_015_581_184, 6_979_588_096),
        ("arm-7b", 6_834_851_840, 5_798_858_752),
        ("illada-8b", 7_615_025_152, 6_979_588_096),
    ],
)
def test_parameter_counts(name: str, total: int, non_embedding: int) -> None:
    config = ModelConfig.preset(name)
    assert config.parameter_count() == total
    assert config.non_embedding_parameter_count() == non_embedding


def test_every_preset_has_its_count_checked() -> None:
    (counts,) = (mark for mark in test_parameter_counts.pytestmark if mark.name == "parametrize")
    assert {name for name, *_ in counts.args[1]} == set(PRESETS)


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
