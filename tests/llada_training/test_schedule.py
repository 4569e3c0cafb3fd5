"""The learning rate of the paper, number by number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llada.training.config import TrainingConfig
from llada.training.schedule import ScheduleConfig, warmup_stable_decay
from tests.llada_training.tiny import training

PAPER_STEPS = 438_690  # 2.3e12 tokens in batches of 1280 x 4096
SFT_STEPS = 52_700
SFT = ScheduleConfig(peak=2.5e-5, warmup_steps=50, lower=None, decay_last=0.1, final=2.5e-6)


def tokens(trillions: float) -> int:
    return round(trillions * 1e12 / (1280 * 4096))


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 4e-4 / 2000),
        (999, 2e-4),
        (1999, 4e-4),
        (tokens(1.2) - 2, 4e-4),
        (tokens(1.2) + 1, 1e-4),
        (tokens(2.0) - 2, 1e-4),
        (tokens(2.15), 5.5e-5),
        (PAPER_STEPS - 1, 1e-5),
    ],
)
def test_pretraining_follows_section_2_2(step: int, rate: float) -> None:
    found = warmup_stable_decay(step, PAPER_STEPS, ScheduleConfig())
    assert found == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (49, 2.5e-5),
        (SFT_STEPS * 9 // 10 - 1, 2.5e-5),
        (SFT_STEPS * 19 // 20 - 1, 1.375e-5),
        (SFT_STEPS - 1, 2.5e-6),
    ],
)
def test_fine_tuning_follows_appendix_b_1(step: int, rate: float) -> None:
    assert warmup_stable_decay(step, SFT_STEPS, SFT) == pytest.approx(rate, rel=1e-4)


@given(st.integers(3, 500), st.integers(0, 3), st.floats(0, 0.5), st.floats(0, 0.5))
def test_the_rate_rises_to_the_peak_and_then_never_rises_again(
    steps: int, warmup: int, lower_after: float, decay_last: float
) -> None:
    config = ScheduleConfig(warmup_steps=warmup, lower_after=lower_after, decay_last=decay_last)
    rates = [warmup_stable_decay(step, steps, config) for step in range(steps)]
    assert all(0 < rate <= config.peak for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    after = rates[warmup:]
    assert after == sorted(after, reverse=True)


@pytest.mark.parametrize(
    ("levels", "remedy"),
    [
        ({"lower": 5e-4}, "only fall"),
        ({"final": 2e-4}, "only fall"),
        ({"lower_after": 0.9, "decay_last": 0.2}, "must start before the decay"),
    ],
)
def test_impossible_schedules_are_refused(levels: dict[str, float], remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        ScheduleConfig.model_validate(levels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 8, "micro_batch_size": 3}, "batch_size 8 is not a multiple"),
        ({"steps": 1}, "warmup_steps 2 exceeds steps 1"),
        ({"zero_stage": 4}, "zero_stage"),
        ({"precision": "fp16"}, "precision"),
        ({"workers": 2}, "workers"),
    ],
)
def test_impossible_recipes_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        training(**changes)


def test_the_defaults_are_the_papers() -> None:
    config = TrainingConfig(steps=PAPER_STEPS)
    assert (config.batch_size, config.weight_decay, config.random_length_fraction) == (
        1280,
        0.1,
        0.01,
    )
