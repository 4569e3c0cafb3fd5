"""Infilling: gaps anywhere in a template; a prompt followed by masks is the special case."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llada.errors import LladaError
from llada.model import MaskPredictor
from llada.sampling import SamplingConfig, Trace, generate, infill

MASK, EOS = 4, 1
PROMPT = torch.tensor([[11, 12, 13], [21, 22, 23]])


@pytest.mark.parametrize("scale", [0.0, 1.0])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_prompt_followed_by_masks_is_answered_as_by_generate(
    model: MaskPredictor, temperature: float, scale: float
) -> None:
    config = SamplingConfig(
        steps=6, gen_length=12, block_length=6, temperature=temperature, cfg_scale=scale
    )
    template = torch.cat([PROMPT, torch.full((2, 12), MASK)], 1)
    one = generate(model, PROMPT, config, rng=torch.Generator().manual_seed(0))
    two = infill(model, template, config, rng=torch.Generator().manual_seed(0))
    assert torch.equal(one.ids_BT, two.ids_BT)
    assert (one.prompt_length, one.forward_passes) == (two.prompt_length, two.forward_passes)


@settings(max_examples=30, deadline=None)
@given(
    gaps=st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=1, max_size=3),
    shape=st.sampled_from([(12, 12, 12), (6, 12, 4), (6, 12, 6), (3, 12, 4)]),
    temperature=st.sampled_from([0.0, 1.0]),
    scale=st.sampled_from([0.0, 0.7]),
    seed=st.integers(0, 9),
)
def test_gaps_are_filled_and_all_else_stands(
    model: MaskPredictor,
    *,
    gaps: list[list[bool]],
    shape: tuple[int, int, int],
    temperature: float,
    scale: float,
    seed: int,
) -> None:
    steps, gen_length, block_length = shape
    config = SamplingConfig(
        steps=steps,
        gen_length=gen_length,
        block_length=block_length,
        temperature=temperature,
        cfg_scale=scale,
    )
    gap_BT = torch.tensor(gaps)
    text_BT = torch.randint(10, 96, gap_BT.shape, generator=torch.Generator().manual_seed(seed))
    trace = Trace()
    found = infill(
        model,
        text_BT.masked_fill(gap_BT, MASK),
        config,
        rng=[torch.Generator().manual_seed(seed + row) for row in range(len(gaps))],
        on_step=trace,
    )
    assert torch.equal(found.ids_BT[~gap_BT], text_BT[~gap_BT])
    assert not (found.ids_BT[gap_BT] == MASK).any()
    assert found.forward_passes <= steps * (2 if scale else 1)
    if gap_BT.any():
        assert torch.equal(trace.step_BT >= 0, gap_BT)
    for row in range(len(gaps)):
        alone = infill(
            model,
            text_BT[row : row + 1].masked_fill(gap_BT[row], MASK),
            config,
            rng=[torch.Generator().manual_seed(seed + row)],
        )
        assert torch.equal(alone.ids_BT[0], found.ids_BT[row])


def test_blocks_are_finished_from_the_first_gap_on(model: MaskPredictor) -> None:
    config = SamplingConfig(steps=8, gen_length=8, block_length=4)
    template = torch.tensor([[11, MASK, 12, MASK, MASK, 13, MASK, MASK, 14]])
    trace = Trace()
    found = infill(model, template, config, on_step=trace)
    # Three gaps in columns 1 to 4, two in columns 5 to 8: five of the eight steps find work.
    assert found.forward_passes == 5
    step_T = trace.step_BT[0]
    assert sorted(step_T[[1, 3, 4]].tolist()) == [0, 1, 2]
    assert sorted(step_T[[6, 7]].tolist()) == [3, 4]
    assert found.prompt_length == 1


def test_a_fixed_mask_id_is_text_and_a_free_token_is_found_anew(model: MaskPredictor) -> None:
    config = SamplingConfig(steps=1, gen_length=1, block_length=1)
    template = torch.tensor([[11, MASK, 12]])
    fixed = torch.tensor([[True, True, False]])
    found = infill(model, template, config, fixed_BT=fixed)
    hidden = infill(model, torch.tensor([[11, MASK, MASK]]), config, fixed_BT=fixed)
    assert found.ids_BT[0, :2].tolist() == [11, MASK]
    assert torch.equal(found.ids_BT, hidden.ids_BT)


def test_a_template_without_gaps_costs_nothing(model: MaskPredictor) -> None:
    config = SamplingConfig(steps=1, gen_length=1, block_length=1)
    found = infill(model, PROMPT, config)
    assert torch.equal(found.ids_BT, PROMPT)
    assert (found.forward_passes, found.prompt_length) == (0, 3)


def test_gaps_beyond_the_blocks_are_refused(model: MaskPredictor) -> None:
    config = SamplingConfig(steps=2, gen_length=4, block_length=2)
    with pytest.raises(LladaError, match="over 5 positions, gen_length is 4"):
        infill(model, torch.tensor([[11, MASK, 12, 13, 14, MASK]]), config)


def test_masks_that_are_not_of_the_template_are_refused(model: MaskPredictor) -> None:
    config = SamplingConfig(steps=2, gen_length=4, block_length=2)
    with pytest.raises(LladaError, match=r"fixed of shape \(2, 2\)"):
        infill(model, PROMPT, config, fixed_BT=torch.ones(2, 2))
