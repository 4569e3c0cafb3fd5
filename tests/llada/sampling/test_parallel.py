"""Parallel decoding against its definition in plain loops, and stopping at the end of the text."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from llada.config import ModelConfig
from llada.errors import LladaError
from llada.model import MaskPredictor
from llada.sampling import SamplingConfig, generate, infill
from llada.sampling.parallel import EntropyBound, Threshold

MASK, EOS = 4, 1
PROMPT = torch.tensor([[11, 12, 13], [21, 22, 23]])
Seeded = Callable[[int], torch.Generator]


@pytest.fixture(scope="module")
def opinionated(config: ModelConfig) -> MaskPredictor:
    """A model that is sure of some tokens: untrained weights are sure of none."""
    model = MaskPredictor(config, rng=torch.Generator().manual_seed(3)).requires_grad_(False)
    head = model.model.transformer.ff_out
    assert head is not None
    head.weight.mul_(5.0)
    return model


def slow_generate(model: MaskPredictor, prompt: list[int], config: SamplingConfig) -> list[int]:
    """Commit, one block after the other, whatever is sure, and at least what is due."""
    ids = prompt + [MASK] * config.gen_length
    blocks = config.gen_length // config.block_length
    for block in range(blocks):
        first = len(prompt) + block * config.block_length
        for step in range(config.steps // blocks):
            gaps = [i for i in range(first, first + config.block_length) if ids[i] == MASK]
            p_LV = model(torch.tensor([ids]))[0].softmax(-1).tolist()
            found = []
            for i in gaps:
                best = max((v for v in range(96) if v != MASK), key=p_LV[i].__getitem__)
                entropy = -sum(p * math.log(p) for p in p_LV[i] if p)
                by_entropy = isinstance(config.parallel, EntropyBound)
                found.append((entropy if by_entropy else -p_LV[i][best], i, best))
            found.sort()
            if isinstance(config.parallel, Threshold):
                sure = sum(-score > config.parallel.threshold for score, _, _ in found)
            else:
                assert isinstance(config.parallel, EntropyBound)
                sums = [sum(score for score, _, _ in found[:n]) for n in range(len(found))]
                sure = sum(total <= config.parallel.entropy for total in sums)
            due = math.ceil(len(gaps) / (config.steps // blocks - step))
            for _, i, best in found[: max(sure, due)]:
                ids[i] = best
    return ids


@pytest.mark.parametrize("steps", [4, 16])
@pytest.mark.parametrize(
    "parallel", [{"threshold": 0.35}, {"threshold": 0.6}, {"entropy": 0.3}, {"entropy": 2.5}]
)
def test_parallel_decoding_agrees_with_plain_loops(
    opinionated: MaskPredictor, parallel: dict[str, float], steps: int
) -> None:
    config = SamplingConfig.model_validate(
        {"steps": steps, "gen_length": 16, "block_length": 8, "parallel": parallel}
    )
    found = generate(opinionated, PROMPT, config)
    assert found.ids_BT.tolist() == [
        slow_generate(opinionated, prompt, config) for prompt in PROMPT.tolist()
    ]
    assert found.forward_passes <= steps
    assert steps == 4 or found.forward_passes < 16


def test_nothing_sure_is_exact_and_all_sure_is_one_step_a_block(model: MaskPredictor) -> None:
    exact = SamplingConfig(steps=8, gen_length=8, block_length=4)
    one = generate(model, PROMPT, exact)
    two = generate(model, PROMPT, exact.model_copy(update={"parallel": Threshold(threshold=1.0)}))
    assert torch.equal(one.ids_BT, two.ids_BT)
    for all_sure in (Threshold(threshold=1e-9), EntropyBound(entropy=1e9)):
        found = generate(model, PROMPT, exact.model_copy(update={"parallel": all_sure}))
        assert found.forward_passes == 2
        assert not (found.ids_BT == MASK).any()


@pytest.mark.parametrize("parallel", [Threshold(threshold=0.5), EntropyBound(entropy=9.0)])
def test_deferred_ids_stay_last_however_sure(
    config: ModelConfig, parallel: Threshold | EntropyBound
) -> None:
    seen: list[Tensor] = []

    class Watching:
        def __init__(self) -> None:
            self.config = config

        def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
            seen.append(ids_BL[0, 1:].clone())
            logits_BLV = torch.full((*ids_BL.shape, 96), -1e9)
            logits_BLV[:, :, 50] = 0.0
            logits_BLV[:, 1:4, EOS] = 9.0
            return logits_BLV

    settings = SamplingConfig(
        steps=8, gen_length=8, block_length=8, parallel=parallel, deferred_ids=(EOS,)
    )
    found = generate(Watching(), torch.tensor([[11]]), settings)
    # Five words at once, then EOS one a step, as slowly as if nothing were sure.
    assert [(answer == MASK).sum().item() for answer in seen] == [8, 3, 2, 1]
    assert found.ids_BT[0, 1:].tolist() == [EOS] * 3 + [50] * 5


class Ending:
    """Says 50 up to a column that hangs on the first token of the row, then ends; then babbles."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.rows: list[int] = []

    def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        self.rows.append(len(ids_BL))
        logits_BLV = torch.zeros(*ids_BL.shape, 96)
        for row, end in enumerate(ids_BL[:, 0].tolist()):
            logits_BLV[row, :end, 50] = 9.0
            logits_BLV[row, end, EOS] = 9.0
            logits_BLV[row, end + 1 :, 60] = 9.0
        return logits_BLV


def test_early_exit_drops_rows_that_have_ended(config: ModelConfig) -> None:
    prompt = torch.tensor([[11, 7, 7], [6, 7, 7], [18, 7, 7]])
    settings = SamplingConfig(steps=8, gen_length=16, block_length=4)
    whole, early = Ending(config), Ending(config)
    full = generate(whole, prompt, settings).ids_BT
    short = generate(early, prompt, settings.model_copy(update={"early_exit": True})).ids_BT
    # Ends in the third block (column 11), in the first (6), and in the last (18).
    assert whole.rows == [3] * 8
    assert early.rows == [3, 3, 2, 2, 2, 2, 1, 1]
    assert short[0].tolist() == [11, 7, 7] + [50] * 8 + [EOS] + [60] * 3 + [EOS] * 4
    assert short[1].tolist() == [6, 7, 7] + [50] * 3 + [EOS] * 13
    assert torch.equal(short[2], full[2])
    for row, end in ((0, 12), (1, 7)):
        assert torch.equal(short[row, :end], full[row, :end])


def test_early_exit_ends_when_all_rows_have(config: ModelConfig) -> None:
    settings = SamplingConfig(steps=8, gen_length=16, block_length=4, early_exit=True)
    frames: list[Tensor] = []
    found = generate(
        Ending(config),
        torch.tensor([[6, EOS, 7], [9, 7, 7]]),
        settings,
        rng=[torch.Generator(), torch.Generator()],
        on_step=lambda step: frames.append(step.ids_BT),
    )
    assert found.forward_passes == 4
    assert [tuple(frame.shape) for frame in frames] == [(2, 19)] * 4
    assert (frames[-1][0, 7:] == EOS).all()  # the finished row is still shown, and stays
    assert not (found.ids_BT == MASK).any()


def test_a_template_has_no_early_exit(model: MaskPredictor) -> None:
    settings = SamplingConfig(steps=2, gen_length=2, block_length=2, early_exit=True)
    with pytest.raises(LladaError, match="a template has text after its gaps"):
        infill(model, torch.tensor([[11, MASK, 12]]), settings)
