"""Watching: every position is fixed once, by a known step, as surely as the model said."""

import pytest
import torch

from llada.model import MaskPredictor
from llada.sampling import SamplingConfig, Step, Trace, generate

MASK = 4
PROMPT = torch.tensor([[11, 12, 13], [21, 22, 23]])


@pytest.mark.parametrize("remasking", ["low_confidence", "random"])
def test_a_trace_tells_the_whole_course(model: MaskPredictor, remasking: str) -> None:
    config = SamplingConfig(
        steps=6, gen_length=12, block_length=6, cfg_scale=0.5, remasking=remasking
    )
    trace = Trace()
    found = generate(model, PROMPT, config, rng=torch.Generator().manual_seed(0), on_step=trace)
    assert [step.step for step in trace.steps] == list(range(6))
    assert {(step.steps, step.blocks) for step in trace.steps} == {(6, 2)}
    assert [step.block for step in trace.steps] == [0, 0, 0, 1, 1, 1]
    assert [step.forward_passes for step in trace.steps] == [2, 4, 6, 8, 10, 12]
    assert torch.equal(
        sum(step.committed_BT.int() for step in trace.steps)[:, 3:], torch.ones(2, 12)
    )
    assert torch.equal(trace.frames[-1], found.ids_BT)
    for number, frame in enumerate(trace.frames):
        later_BT = trace.step_BT > number
        assert (frame[later_BT] == MASK).all()
        assert torch.equal(frame[~later_BT], found.ids_BT[~later_BT])
    assert (trace.step_BT[:, :3] == -1).all()


def test_the_confidence_is_the_probability_before_the_step(model: MaskPredictor) -> None:
    """Of the token itself, also where the id is deferred and its rank therefore the last."""
    free = SamplingConfig(steps=4, gen_length=4, block_length=4)
    first = generate(model, PROMPT, free).ids_BT[0, 3].item()
    trace = Trace()
    found = generate(
        model, PROMPT, free.model_copy(update={"deferred_ids": (first,)}), on_step=trace
    )
    before = torch.cat([PROMPT, torch.full((2, 4), MASK)], 1)
    for step in trace.steps:
        p_BTV = model(before).softmax(-1)
        p_BT = p_BTV.gather(-1, found.ids_BT[:, :, None])[:, :, 0]
        torch.testing.assert_close(step.confidence_BT, torch.where(step.committed_BT, p_BT, 0.0))
        before = step.ids_BT
    assert (trace.confidence_BT[:, 3:] > 0).all()
    assert (trace.confidence_BT[:, :3] == 0).all()


def test_watching_changes_nothing_and_what_is_seen_can_be_kept(model: MaskPredictor) -> None:
    config = SamplingConfig(steps=4, gen_length=8, block_length=4, temperature=0.7)

    def spoil(step: Step) -> None:
        step.ids_BT.fill_(0)
        step.committed_BT.fill_(False)

    plain = generate(model, PROMPT, config, rng=torch.Generator().manual_seed(3))
    watched = generate(model, PROMPT, config, rng=torch.Generator().manual_seed(3), on_step=spoil)
    assert torch.equal(plain.ids_BT, watched.ids_BT)
