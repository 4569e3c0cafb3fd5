"""Corruption and losses: invariants, and oracles written as loops."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llada.config import ModelConfig
from llada.diffusion import (
    corrupt,
    mask_probability,
    pretrain_loss,
    sft_loss,
    weighted_masked_loss,
)
from llada.errors import LladaError
from llada.model import MaskPredictor

MASK = 4
Seeded = Callable[[int], torch.Generator]


def uniform_predictor(vocab: int) -> Callable[..., Tensor]:
    return lambda ids_BL, attention_mask=None: torch.zeros(*ids_BL.shape, vocab)


class Spy:
    """A predictor that remembers what it was shown."""

    def __init__(self, model: MaskPredictor) -> None:
        self.model = model

    def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        self.seen_BL = ids_BL
        return self.model(ids_BL, attention_mask)


@settings(deadline=None)
@given(
    rows=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    length=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_corrupt_masks_and_does_nothing_else(rows: list[float], length: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    x0_BL = torch.randint(0, 50, (len(rows), length), generator=rng)  # may hold the mask id itself
    noisy_BL, masked_BL = corrupt(x0_BL, torch.tensor(rows), mask_id=MASK, rng=rng)
    assert torch.equal(noisy_BL[~masked_BL], x0_BL[~masked_BL])
    assert (noisy_BL[masked_BL] == MASK).all()
    for t, masked_L in zip(rows, masked_BL, strict=True):
        assert t < 1 or masked_L.all()


@pytest.mark.parametrize("t", [0.0, 0.03, 0.5, 0.97])
def test_corrupt_masks_each_row_at_its_own_rate(t: float, seeded: Seeded) -> None:
    x0_BL = torch.full((2, 200_000), 20)
    _, masked_BL = corrupt(x0_BL, torch.tensor([t, 1.0 - t]), mask_id=MASK, rng=seeded(1))
    for rate, time in zip(masked_BL.float().mean(1).tolist(), (t, 1.0 - t), strict=True):
        p = 0.999 * time + 0.001
        assert rate == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 200_000) + 1e-9)


def test_mask_probability_stays_above_eps() -> None:
    t_B = torch.tensor([0.0, 0.5, 1.0])
    torch.testing.assert_close(mask_probability(t_B, 0.01), torch.tensor([0.01, 0.505, 1.0]))


def test_hidden_positions_do_not_reach_the_loss(model: MaskPredictor) -> None:
    ids_BL = torch.tensor([[11, MASK, 13, 50, 51]])
    masked_BL, visible_BL = ids_BL == MASK, ids_BL < 50
    losses = [
        weighted_masked_loss(
            model, row_BL, row_BL, masked_BL[:, :n], masked_BL[:, :n].float(), attention_mask=mask
        ).item()
        for n, row_BL, mask in [
            (3, ids_BL[:, :3], None),
            (5, ids_BL, visible_BL),
            (5, ids_BL, None),
        ]
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0] != pytest.approx(losses[2], rel=1e-5)


@pytest.mark.parametrize("chunk_rows", [1, 3, 1000, None])
def test_weighted_loss_agrees_with_a_loop(
    model: MaskPredictor, seeded: Seeded, chunk_rows: int | None
) -> None:
    rng = seeded(2)
    targets_BL = torch.randint(10, 96, (3, 7), generator=rng)
    noisy_BL, masked_BL = corrupt(targets_BL, torch.full((3,), 0.6), mask_id=MASK, rng=rng)
    weight_BL = torch.rand(3, 7, generator=rng)
    expected = 0.0
    for b in range(3):
        log_p_LV = model(noisy_BL)[b].double().log_softmax(-1)
        for i in range(7):
            if masked_BL[b, i]:
                expected -= weight_BL[b, i].item() * log_p_LV[i, targets_BL[b, i]].item()
    loss = weighted_masked_loss(
        model, noisy_BL, targets_BL, masked_BL, weight_BL, chunk_rows=chunk_rows
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4), (torch.bfloat16, 3e-2)]
)
def test_chunks_do_not_change_the_gradient(
    config: ModelConfig, seeded: Seeded, dtype: torch.dtype, tolerance: float, tied: bool
) -> None:
    """The gradient taken with the logits against the one that autograd finds through them."""
    config = config.model_copy(update={"tied_embeddings": tied})
    trainable = MaskPredictor(config, rng=seeded(0)).to(dtype)
    x0_BL = torch.randint(10, 96, (3, 9), generator=seeded(3))

    def gradients(chunk_rows: int | None) -> list[Tensor]:
        trainable.zero_grad()
        loss = pretrain_loss(trainable, x0_BL, mask_id=MASK, rng=seeded(4), chunk_rows=chunk_rows)
        (3 * loss).backward()
        return [p.grad.clone() for p in trainable.parameters() if p.grad is not None]

    whole = gradients(None)
    assert len(whole) == len(list(trainable.parameters()))
    for chunk_rows in (1000, 2):
        for one, many in zip(whole, gradients(chunk_rows), strict=True):
            assert (one - many).norm() <= tolerance * one.norm()


def test_chunked_logits_are_not_kept_for_the_backward_pass(
    model: MaskPredictor, seeded: Seeded
) -> None:
    trainable = MaskPredictor(model.config, rng=seeded(0))
    x0_BL = torch.randint(10, 96, (3, 9), generator=seeded(3))

    def kept_logits(chunk_rows: int | None) -> int:
        kept: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
            pretrain_loss(trainable, x0_BL, mask_id=MASK, rng=seeded(4), chunk_rows=chunk_rows)
        return sum(t.numel() for t in kept if t.shape[-1:] == (96,))

    assert kept_logits(None) > 0
    assert kept_logits(1000) == kept_logits(2) == 0


def test_nothing_masked_is_zero_and_still_has_gradients(
    model: MaskPredictor, seeded: Seeded
) -> None:
    trainable = MaskPredictor(model.config, rng=seeded(0))
    ids_BL = torch.full((2, 5), 20)
    nothing_BL = torch.zeros(2, 5, dtype=torch.bool)
    loss = weighted_masked_loss(trainable, ids_BL, ids_BL, nothing_BL, torch.ones(2, 5))
    assert loss.item() == 0.0
    loss.backward()
    for name, parameter in trainable.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


def test_loss_is_float32_for_a_bfloat16_model(model: MaskPredictor, seeded: Seeded) -> None:
    rounded = MaskPredictor(model.config, rng=seeded(0)).to(torch.bfloat16).requires_grad_(False)
    ids_BL = torch.randint(10, 96, (2, 8), generator=seeded(1))
    everything_BL = torch.ones(2, 8, dtype=torch.bool)
    loss = weighted_masked_loss(rounded, ids_BL, ids_BL, everything_BL, torch.ones(2, 8))
    log_p_BLV = rounded(ids_BL).double().log_softmax(-1)
    expected = -log_p_BLV.gather(-1, ids_BL[:, :, None]).sum().item()
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_pretrain_loss_agrees_with_a_loop(model: MaskPredictor, seeded: Seeded) -> None:
    x0_BL = torch.randint(10, 96, (4, 11), generator=seeded(5))
    rng, expected = seeded(6), 0.0
    t_B = torch.rand(4, generator=rng)
    noisy_BL, masked_BL = corrupt(x0_BL, t_B, mask_id=MASK, rng=rng)
    log_p_BLV = model(noisy_BL).double().log_softmax(-1)
    for b in range(4):
        for i in range(11):
            if masked_BL[b, i]:
                p = 0.999 * t_B[b].item() + 0.001
                expected -= log_p_BLV[b, i, x0_BL[b, i]].item() / p
    loss = pretrain_loss(model, x0_BL, mask_id=MASK, rng=seeded(6))
    assert loss.item() == pytest.approx(expected / (4 * 11), rel=1e-5)


def test_pretrain_loss_of_a_uniform_predictor_is_log_vocabulary(seeded: Seeded) -> None:
    """E[masked / p] = 1 whatever t is: dividing by the masked count instead would not show here."""
    x0_BL = torch.full((64, 4096), 20)
    loss = pretrain_loss(uniform_predictor(30), x0_BL, mask_id=MASK, rng=seeded(7), eps=0.05)
    assert loss.item() == pytest.approx(math.log(30), rel=0.02)


def test_sft_loss_agrees_with_a_loop(model: MaskPredictor, seeded: Seeded) -> None:
    ids_BL = torch.randint(10, 96, (3, 12), generator=seeded(8))
    prompts, answers = [4, 0, 7], [8, 5, 2]  # the second row ends before its last position
    rng, expected = seeded(9), 0.0
    t_B = torch.rand(3, generator=rng)
    _, drawn_BL = corrupt(ids_BL, t_B, mask_id=MASK, rng=rng)
    for b, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        row = ids_BL[b].clone()
        hidden = [i for i in range(prompt, prompt + answer) if drawn_BL[b, i]]
        row[hidden] = MASK
        log_p_LV = model(row[None])[0].double().log_softmax(-1)
        p = 0.999 * t_B[b].item() + 0.001
        expected -= sum(log_p_LV[i, ids_BL[b, i]].item() for i in hidden) / p / answer / 3
    loss = sft_loss(
        model, ids_BL, torch.tensor(prompts), torch.tensor(answers), mask_id=MASK, rng=seeded(9)
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(prompt=st.integers(0, 9), seed=st.integers(0, 1000))
def test_sft_never_masks_a_prompt(model: MaskPredictor, prompt: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    ids_BL = torch.randint(10, 96, (2, 10), generator=rng)
    spy = Spy(model)
    lengths_B = torch.tensor([prompt, prompt])
    sft_loss(spy, ids_BL, lengths_B, 10 - lengths_B, mask_id=MASK, rng=rng, eps=1.0)
    assert torch.equal(spy.seen_BL[:, :prompt], ids_BL[:, :prompt])
    assert (spy.seen_BL[:, prompt:] == MASK).all()


def test_a_mask_id_in_a_prompt_is_no_target(model: MaskPredictor, seeded: Seeded) -> None:
    ids_BL = torch.tensor([[MASK, 12, 13, 14]])
    lengths = torch.tensor([3]), torch.tensor([1])
    loss = sft_loss(model, ids_BL, *lengths, mask_id=MASK, rng=seeded(0), eps=1.0)
    log_p_V = model(torch.tensor([[MASK, 12, 13, MASK]]))[0, 3].log_softmax(-1)
    assert loss.item() == pytest.approx(-log_p_V[14].item(), rel=1e-5)


@pytest.mark.parametrize(("prompt", "answer"), [(3, 0), (3, 8), (10, 1)])
def test_an_answer_outside_its_row_is_refused(
    model: MaskPredictor, seeded: Seeded, prompt: int, answer: int
) -> None:
    lengths = torch.tensor([prompt]), torch.tensor([answer])
    with pytest.raises(LladaError, match=rf"\[{prompt}\].*\[{answer}\] in rows of 10"):
        sft_loss(model, torch.full((1, 10), 20), *lengths, mask_id=MASK, rng=seeded(0))
