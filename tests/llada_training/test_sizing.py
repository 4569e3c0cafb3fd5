"""The plan of a training against the paper's figures and those counted for its GPUs."""

import pytest

from llada.config import ModelConfig
from llada.errors import LladaError
from llada.training.accelerators import accelerator
from llada.training.config import Optimisation
from llada.training.flops import (
    attention_flops_per_token,
    head_flops_per_token,
    model_flops_per_token,
)
from llada.training.memory import Setting, memory_per_gpu
from llada.training.sizing import Sizing, size

LLADA_8B, LLADA_1B = ModelConfig.preset("llada-8b"), ModelConfig.preset("llada-1b")
PAPER = Optimisation()  # batch 1280, 4 a GPU
CHECKPOINTED = Setting(320, 4, 1, activation_checkpointing=True)


def paper_run(mfu: float = 0.256, setting: Setting = CHECKPOINTED) -> Sizing:
    return size(LLADA_8B, PAPER, setting, length=4096, steps=438_690, gpu="h800-80g", mfu=mfu)


def test_flops_a_token_are_those_counted_for_the_paper() -> None:
    assert model_flops_per_token(LLADA_8B, 4096) / 1e9 == pytest.approx(51.4, abs=0.05)
    whole = model_flops_per_token(LLADA_1B, 4096)
    assert whole / 1e9 == pytest.approx(9.58, abs=0.005)
    assert attention_flops_per_token(LLADA_1B, 4096) / whole == pytest.approx(0.23, abs=0.005)
    assert head_flops_per_token(LLADA_1B) / whole == pytest.approx(0.16, abs=0.005)


def test_a_causal_model_needs_half_the_attention_and_nothing_else() -> None:
    arm = ModelConfig.preset("arm-1b")
    saved = model_flops_per_token(LLADA_1B, 4096) - model_flops_per_token(arm, 4096)
    assert saved == attention_flops_per_token(LLADA_1B, 4096) / 2


def test_a_head_on_masked_rows_costs_its_share() -> None:
    half = model_flops_per_token(LLADA_1B, 4096, head_share=0.5)
    assert model_flops_per_token(LLADA_1B, 4096) - half == head_flops_per_token(LLADA_1B) / 2


def test_the_papers_run_takes_the_hours_it_took() -> None:
    run = paper_run()
    assert (run.parameters, run.non_embedding_parameters) == (8_015_581_184, 6_979_588_096)
    assert run.tokens == pytest.approx(2.3e12, rel=1e-5)
    assert run.flops == pytest.approx(9.63e22, rel=1e-3)
    assert run.gpu_hours == pytest.approx(0.13e6, rel=0.005)  # section 2.2: 0.13 M H800 hours
    assert run.days == pytest.approx(16.9, abs=0.05)
    assert paper_run(mfu=0.512).gpu_hours == pytest.approx(0.065e6, rel=0.005)


def test_unknown_steps_leave_open_what_hangs_on_them() -> None:
    run = size(LLADA_8B, PAPER, CHECKPOINTED, length=4096, steps=None, gpu="h800-80g")
    assert (run.tokens, run.flops, run.model_flops, run.gpu_hours, run.days) == (None,) * 5
    assert run.memory_by_stage == paper_run().memory_by_stage


def test_without_a_gpu_there_are_no_hours_and_nothing_is_refused() -> None:
    run = size(LLADA_8B, PAPER, Setting(1, 4, 1), length=4096, steps=10)
    assert run.fits
    assert (run.gpu_hours, run.gpu_memory, run.remedies) == (None, None, ())


def test_what_does_not_fit_names_single_changes_that_do() -> None:
    run = paper_run(setting=CHECKPOINTED._replace(activation_checkpointing=False))
    assert not run.fits
    assert run.remedies == ("activation_checkpointing=true", "micro_batch_size=1")
    for change in ({"activation_checkpointing": True}, {"micro_batch_size": 1}):
        assert paper_run(setting=CHECKPOINTED._replace(**change)).fits  # type: ignore[arg-type]


def test_where_one_change_is_not_enough_it_names_the_fewest() -> None:
    few = Setting(2, 8, 1)
    run = size(LLADA_8B, PAPER, few, length=4096, steps=10, gpu="a100-80g")
    assert not run.fits
    assert run.remedies
    assert all(remedy.count(" and ") == 1 for remedy in run.remedies)
    limit = accelerator("a100-80g").memory
    for one in (
        few._replace(activation_checkpointing=True),
        few._replace(micro_batch_size=1),
        few._replace(zero_stage=3),
        few._replace(workers=160),
    ):
        assert memory_per_gpu(LLADA_8B, one, 4096).total > limit


def test_a_model_that_never_fits_is_said_to_need_another_gpu() -> None:
    huge = ModelConfig.preset("llada-8b", d_model=65_536, ffn_hidden=262_144, n_layers=200)
    run = size(huge, PAPER, Setting(8, 1, 3), length=4096, steps=10, gpu="a100-40g")
    assert run.remedies == (
        "nothing short of a GPU with more memory: its model or its rows are too large",
    )


def test_unknown_hardware_is_refused_not_guessed() -> None:
    with pytest.raises(LladaError, match=r"no accelerator named 'h900'; known are a100-40g"):
        size(LLADA_8B, PAPER, CHECKPOINTED, length=4096, steps=1, gpu="h900")
