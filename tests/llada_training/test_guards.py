"""What makes a spike, and what a run does about one."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llada.training.guard_config import GuardConfig
from llada.training.guards import Guard, Trouble
from llada.training.interventions import (
    Intervention,
    data_step,
    decide,
    rate_factor,
    read_interventions,
    record,
)
from llada.training.job import StepMetrics

CONFIG = GuardConfig(window=16, patience=3)


def line(step: int, loss: float = 4.0, norm: float = 1.0) -> StepMetrics:
    return StepMetrics(
        step=step, loss=loss, learning_rate=1.0, grad_norm=norm, tokens=1, tokens_per_second=1.0,
        seconds=1.0, cross_entropy=loss,
    )  # fmt: skip


def calm(steps: int) -> list[StepMetrics]:
    """Return a falling loss with a wobble, and norms that vary by a factor of two."""
    return [
        line(s, 6 - s / 100 + 0.2 * math.sin(s), 1 + 0.5 * math.cos(3 * s)) for s in range(steps)
    ]


def verdicts(guard: Guard, lines: list[StepMetrics]) -> list[Trouble | None]:
    return [guard.look(each) for each in lines]


def test_a_calm_run_is_left_alone() -> None:
    assert verdicts(Guard(CONFIG), calm(300)) == [None] * 300


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_trouble_at_once_even_in_the_first_step(bad: float) -> None:
    found = Guard(CONFIG).look(line(0, loss=bad))
    assert found is not None
    assert (found.first, found.last, found.what) == (0, 0, "loss")
    found = Guard(CONFIG).look(line(0, norm=bad))
    assert found is not None
    assert found.what == "gradient norm"


def test_a_loss_that_stays_high_is_trouble_from_its_first_step() -> None:
    guard = Guard(CONFIG, calm(40))
    assert verdicts(guard, [line(40, 12.0), line(41, 11.0)]) == [None, None]
    assert guard.suspects
    found = guard.look(line(42, 13.0))
    assert found is not None
    assert (found.first, found.last, found.what, found.value) == (40, 42, "loss", 13.0)
    assert 6 < found.limit < 9


def test_one_bad_batch_is_forgiven_and_does_not_become_normal() -> None:
    guard = Guard(CONFIG, calm(40))
    for step in range(40, 100, 3):
        assert verdicts(guard, [line(step, 12.0), line(step + 1, 12.0), line(step + 2, 5.6)]) == [
            None,
            None,
            None,
        ]
        assert not guard.suspects


def test_norms_that_stay_high_are_trouble_though_the_loss_is_fine() -> None:
    guard = Guard(CONFIG, calm(40))
    found = verdicts(guard, [line(40 + i, 5.5, 300.0) for i in range(3)])[-1]
    assert found is not None
    assert found.what == "gradient norm"
    assert verdicts(Guard(CONFIG, calm(40)), [line(40 + i, 5.5, 8.0) for i in range(9)]) == (
        [None] * 9
    )


def test_a_converged_run_may_stumble() -> None:
    flat = [line(step, 0.01) for step in range(40)]
    assert verdicts(Guard(CONFIG, flat), [line(40 + i, 0.4) for i in range(9)]) == [None] * 9
    assert verdicts(Guard(CONFIG, flat), [line(40 + i, 0.6) for i in range(3)])[-1] is not None


def test_nothing_is_judged_before_half_the_window_is_known() -> None:
    assert verdicts(Guard(CONFIG, calm(4)), [line(4 + i, 50.0 * i) for i in range(4)]) == [None] * 4


@given(st.lists(st.floats(0.1, 50.0), min_size=30, max_size=80), st.integers(0, 79))
def test_a_resumed_run_comes_to_the_same_verdicts(losses: list[float], cut: int) -> None:
    lines = [line(step, loss) for step, loss in enumerate(losses)]
    whole = verdicts(Guard(CONFIG), lines)
    resumed = Guard(CONFIG, lines[:cut])
    assert verdicts(resumed, lines[cut:]) == whole[cut:]


SPIKE = Trouble(first=40, last=42, what="loss", value=13.0, limit=8.0)


def act(remedy: str, before: list[Intervention], trouble: Trouble, back_to: int) -> Intervention:
    return decide(trouble, GuardConfig.model_validate({"on_spike": remedy}), before, back_to)


def test_skipping_leaves_out_the_spike_and_nothing_else() -> None:
    first = act("skip", [], SPIKE, back_to=30)
    read = [data_step(step, [first]) for step in range(60)]
    assert read == [step for step in range(64) if not 39 <= step <= 42]
    assert rate_factor(50, [first]) == 1.0
    again = act("skip", [first], SPIKE._replace(first=39, last=39), back_to=30)
    read = [data_step(step, [first, again]) for step in range(60)]
    # Step 39 read 43 the second time; 38, one before it, goes too.
    assert read == [step for step in range(66) if not 38 <= step <= 43]


def test_skipping_spares_what_is_in_the_weights_already() -> None:
    found = act("skip", [], SPIKE, back_to=40)
    assert (found.skip_from, found.skip) == (40, 3)


def test_the_lower_rate_holds_from_the_checkpoint_on_and_adds_up() -> None:
    first = act("lower_rate", [], SPIKE, back_to=30)
    second = act("lower_rate", [first], SPIKE._replace(first=80, last=80), back_to=70)
    found = [rate_factor(step, [first, second]) for step in (29, 30, 69, 70, 500)]
    assert found == [1.0, 0.25, 0.25, 0.0625, 0.0625]
    assert data_step(50, [first, second]) == 50


def test_too_many_rollbacks_give_up() -> None:
    before: list[Intervention] = []
    for _ in range(3):
        before.append(act("skip", before, SPIKE, 30))
    assert [each.remedy for each in before] == ["skip"] * 3
    assert act("skip", before, SPIKE, 30).remedy == "stop"
    assert act("stop", [], SPIKE, 30).remedy == "stop"


def test_a_decision_that_came_twice_counts_once(tmp_path: Path) -> None:
    first = act("lower_rate", [], SPIKE, 30)
    second = act("lower_rate", [first], SPIKE._replace(value=math.inf), 30)
    for each in (first, first, second):
        record(tmp_path, each)
    assert read_interventions(tmp_path) == [first, second]
