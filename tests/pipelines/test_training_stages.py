"""What the training stages tell a job beyond the recipe."""

import pytest
from pydantic import ValidationError

from pipelines.pretrain import PretrainConfig, SftConfig, peak_flops
from pipelines.workspace import Resources


def test_the_peak_is_known_only_where_the_gpus_are_named() -> None:
    assert peak_flops(Resources()) is None
    assert peak_flops(Resources(gpu="h200-141g")) is None  # named for a plan; none is used
    assert peak_flops(Resources(workers=4, gpus_per_worker=1)) is None
    named = Resources(workers=4, gpus_per_worker=1, gpu="h200-141g")
    assert peak_flops(named) == 4 * 989e12


def test_guard_noise_and_validation_are_part_of_a_recipe() -> None:
    config = PretrainConfig.model_validate(
        {
            "steps": 3000,
            "guard": {"on_spike": "skip", "window": 64},
            "noise": {"times": "low_discrepancy", "masks": "exact_count"},
            "validate_every": 500,
        }
    )
    job = config.training(3000)
    assert (job.guard.on_spike, job.guard.rate_factor) == ("skip", 0.25)
    assert (job.noise.masks, job.validate_every) == ("exact_count", 500)
    plain = PretrainConfig(steps=3000).training(3000)
    assert (plain.noise.times, plain.noise.masks) == ("independent", "bernoulli")  # the paper's


def test_fine_tuning_has_no_held_out_ids_to_measure() -> None:
    with pytest.raises(ValidationError, match="validate_every"):
        SftConfig.model_validate({"steps": 100, "validate_every": 10})
