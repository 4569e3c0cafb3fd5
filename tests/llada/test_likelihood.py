"""Eq. 6: the estimate against the exact value, from every mask there is."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llada.errors import LladaError
from llada.likelihood import log_likelihood, mask_counts
from llada.model import MaskPredictor

MASK = 4
PROMPT, ANSWER = [11, 12, 13], [21, 22, 23, 24]
Seeded = Callable[[int], torch.Generator]


def exact(model: MaskPredictor, prompt: list[int], answer: list[int], scale: float = 0.0) -> float:
    """Average over every count and every set of masked positions of that count."""
    total, length = 0.0, len(answer)
    for count in range(1, length + 1):
        sets = list(itertools.combinations(range(length), count))
        for hidden in sets:
            noisy = [MASK if i in hidden else token for i, token in enumerate(answer)]
            logits_LV = model(torch.tensor([prompt + noisy]))[0]
            if scale:
                blind_LV = model(torch.tensor([[MASK] * len(prompt) + noisy]))[0]
                logits_LV = blind_LV + (scale + 1) * (logits_LV - blind_LV)
            log_p_LV = logits_LV.double().log_softmax(-1)
            kept = sum(log_p_LV[len(prompt) + i, answer[i]].item() for i in hidden)
            total += kept * length / count / len(sets) / length
    return total


@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_agrees_with_every_mask(model: MaskPredictor, seeded: Seeded, scale: float) -> None:
    estimate = log_likelihood(
        model, PROMPT, ANSWER, samples=2000, mask_id=MASK, cfg_scale=scale, rng=seeded(0),
        batch_size=500,
    )  # fmt: skip
    truth = exact(model, PROMPT, ANSWER, scale)
    assert abs(estimate.value - truth) < 4 * estimate.stderr
    assert estimate.stderr < 0.01 * abs(truth)


def test_the_standard_error_is_the_spread_of_the_estimates(
    model: MaskPredictor, seeded: Seeded
) -> None:
    rng = seeded(1)
    runs = [
        log_likelihood(model, PROMPT, ANSWER, samples=32, mask_id=MASK, rng=rng, batch_size=32)
        for _ in range(300)
    ]
    spread = torch.tensor([run.value for run in runs]).std().item()
    claimed = math.sqrt(sum(run.stderr**2 for run in runs) / len(runs))
    assert claimed == pytest.approx(spread, rel=0.15)


def test_a_uniform_predictor_gives_log_vocabulary_a_token(seeded: Seeded) -> None:
    def flat(ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return torch.zeros(*ids_BL.shape, 30)

    found = log_likelihood(flat, PROMPT, ANSWER, samples=7, mask_id=MASK, rng=seeded(0))
    assert found.value == pytest.approx(-4 * math.log(30), rel=1e-6)
    assert found.stderr == pytest.approx(0.0, abs=1e-5)


def test_one_sample_is_exact_for_one_token(model: MaskPredictor, seeded: Seeded) -> None:
    found = log_likelihood(model, PROMPT, [21], samples=1, mask_id=MASK, rng=seeded(0))
    log_p_V = model(torch.tensor([[*PROMPT, MASK]]))[0, -1].log_softmax(-1)
    assert found.value == pytest.approx(log_p_V[21].item(), rel=1e-5)
    assert found.stderr == 0.0
    assert math.isnan(
        log_likelihood(model, PROMPT, ANSWER, samples=1, mask_id=MASK, rng=seeded(0)).stderr
    )


def test_batches_change_nothing_but_memory(model: MaskPredictor, seeded: Seeded) -> None:
    values = [
        log_likelihood(
            model, PROMPT, ANSWER, samples=10, mask_id=MASK, rng=seeded(3), batch_size=size
        ).value
        for size in (1, 4, 10)
    ]
    assert values == pytest.approx([values[0]] * 3, rel=1e-6)


@settings(deadline=None)
@given(length=st.integers(1, 40), samples=st.integers(1, 60), seed=st.integers(0, 1000))
def test_counts_are_spread_evenly(length: int, samples: int, seed: int) -> None:
    counts = mask_counts(length, samples, torch.Generator().manual_seed(seed)).tolist()
    assert all(1 <= count <= length for count in counts)
    used = [counts.count(n) for n in range(1, length + 1)]
    assert max(used) - min(used) <= 1


def test_every_count_is_equally_likely(seeded: Seeded) -> None:
    rng = seeded(5)
    drawn = torch.cat([mask_counts(5, 3, rng) for _ in range(4000)])
    assert (drawn.bincount(minlength=6)[1:] / len(drawn)).tolist() == pytest.approx(
        [0.2] * 5, rel=0.1
    )


@pytest.mark.parametrize(("answer", "samples"), [([], 4), ([21], 0)])
def test_nothing_to_estimate_is_refused(
    model: MaskPredictor, seeded: Seeded, answer: list[int], samples: int
) -> None:
    with pytest.raises(LladaError, match=f"samples={samples}, an answer of {len(answer)}"):
        log_likelihood(model, PROMPT, answer, samples=samples, mask_id=MASK, rng=seeded(0))
