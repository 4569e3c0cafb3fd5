"""Settings that cannot be carried out say so."""

import pytest
from pydantic import ValidationError

from llada.sampling import SamplingConfig


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"block_length": 5}, "gen_length=16 is not a multiple of block_length=5"),
        ({"block_length": 4, "steps": 6}, "steps=6 cannot be shared by 4 blocks"),
        ({"block_length": 32}, "gen_length=16 is not a multiple of block_length=32"),
        ({"remasking": "entropy"}, "'entropy'; choose one of low_confidence, random"),
        ({"temperature": -0.1}, "temperature"),
        ({"steps": 0}, "steps"),
        ({"temprature": 1.0}, "temprature"),
        ({"cache_refresh": 2}, "cache_refresh=2 without a cache"),
        ({"cache": "all"}, "'none', 'prefix' or 'dual'"),
        (
            {"remasking": "random", "parallel": {"threshold": 0.9}},
            "parallel decoding with remasking='random'",
        ),
        ({"parallel": {"threshold": 90}}, "less than or equal to 1"),
        ({"parallel": {"entropy": -1}}, "greater than or equal to 0"),
        ({"parallel": {"threshold": 0.9, "entropy": 1.0}}, "Extra inputs"),
    ],
)
def test_impossible_settings_say_what_was_found(wrong: dict[str, object], said: str) -> None:
    settings: dict[str, object] = {"steps": 8, "gen_length": 16, "block_length": 16}
    assert SamplingConfig.model_validate(settings).blocks == 1
    with pytest.raises(ValidationError, match=said):
        SamplingConfig.model_validate({**settings, **wrong})
