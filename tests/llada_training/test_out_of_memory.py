"""Where memory runs out, the settings that would help are named with their present values."""

import pytest
import torch
from pydantic import ValidationError

from llada.training import out_of_memory
from llada.training.errors import TrainingError
from tests.llada_training.tiny import training


def test_a_failed_allocation_names_what_to_change() -> None:
    config = training(micro_batch_size=4, zero_stage=1)
    with (
        pytest.raises(TrainingError, match=r"out of memory: .*allocate") as caught,
        out_of_memory.named(config, workers=2),
    ):
        torch.empty(1 << 55)
    told = str(caught.value)
    for way in (
        "micro_batch_size 4 -> 2",
        "activation_checkpointing false -> true",
        "zero_stage 1 -> 2",
        "precision fp32 -> bf16",
        "more than 2 workers",
    ):
        assert way in told


def test_what_is_at_its_end_is_not_proposed() -> None:
    least = training(
        micro_batch_size=1, zero_stage=3, precision="bf16", activation_checkpointing=True
    )
    told = out_of_memory.advice(least, workers=4)
    assert "->" not in told
    assert "more than 4 workers" in told
    assert "zero_stage" not in out_of_memory.advice(training(zero_stage=1), workers=1)


def test_other_faults_pass() -> None:
    with (
        pytest.raises(RuntimeError, match="shape"),
        out_of_memory.named(training(), workers=1),
    ):
        torch.zeros(2, 3).view(7)


def test_a_compiled_stage_3_is_refused() -> None:
    with pytest.raises(ValidationError, match="use zero_stage 1 or 2"):
        training(compile=True, zero_stage=3)
