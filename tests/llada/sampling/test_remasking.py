"""What every strategy owes the sampler, and what each one scores."""

import pytest
import torch

from llada.errors import LladaError
from llada.sampling.remasking import STRATEGIES, low_confidence, random

LOGITS_NV = torch.tensor([[0.0, 3.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 9.0]])
CHOSEN_N = torch.tensor([1, 0, 2])


@pytest.mark.parametrize("name", STRATEGIES)
def test_scores_are_finite_and_one_a_candidate(name: str) -> None:
    before = LOGITS_NV.clone()
    scores = [
        STRATEGIES[name](LOGITS_NV, CHOSEN_N, torch.Generator().manual_seed(3)) for _ in range(2)
    ]
    assert scores[0].shape == CHOSEN_N.shape
    assert scores[0].isfinite().all()
    assert torch.equal(*scores)
    assert torch.equal(LOGITS_NV, before)


def test_low_confidence_is_the_probability_of_the_choice() -> None:
    found = low_confidence(LOGITS_NV, CHOSEN_N, None).tolist()
    e = torch.tensor(1.0).exp().item()
    assert found == pytest.approx([e**3 / (e**3 + 2), 1 / 3, e**9 / (e**9 + 2)], rel=1e-5)


def test_random_needs_a_generator() -> None:
    with pytest.raises(LladaError, match=r"rng=None.*manual_seed"):
        random(LOGITS_NV, CHOSEN_N, None)
