"""The loss of the autoregressive baseline: against a loop, and what it refuses."""

from collections.abc import Callable

import pytest
import torch

from llada.config import ModelConfig
from llada.diffusion import arm_loss
from llada.errors import LladaError
from llada.model import MaskPredictor

Seeded = Callable[[int], torch.Generator]


@pytest.fixture(scope="module")
def causal(config: ModelConfig) -> MaskPredictor:
    config = ModelConfig.model_validate({**config.model_dump(), "causal": True})
    return MaskPredictor(config, rng=torch.Generator().manual_seed(0)).requires_grad_(False)


@pytest.mark.parametrize("chunk_rows", [3, 1000])
def test_agrees_with_a_loop(causal: MaskPredictor, seeded: Seeded, chunk_rows: int) -> None:
    ids_BL = torch.randint(10, 96, (2, 7), generator=seeded(0))
    expected = 0.0
    for row_L in ids_BL:
        for end in range(1, 7):  # one prefix at a time: what follows cannot leak
            log_p_V = causal(row_L[None, :end])[0, -1].double().log_softmax(-1)
            expected -= log_p_V[row_L[end]].item() / (2 * 6)
    assert arm_loss(causal, ids_BL, chunk_rows=chunk_rows).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_padding_is_neither_read_nor_predicted(causal: MaskPredictor, seeded: Seeded) -> None:
    ids_BL = torch.randint(10, 96, (2, 7), generator=seeded(1))
    exists_BL = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    apart = [arm_loss(causal, ids_BL[:1]).item(), arm_loss(causal, ids_BL[1:, :4]).item()]
    together = arm_loss(causal, ids_BL, attention_mask=exists_BL).item()
    assert together == pytest.approx((6 * apart[0] + 3 * apart[1]) / 9, rel=1e-5)


def test_a_model_that_sees_both_sides_is_refused(model: MaskPredictor) -> None:
    with pytest.raises(LladaError, match="causal=False"):
        arm_loss(model, torch.full((1, 4), 20))


def test_a_single_token_is_refused(causal: MaskPredictor) -> None:
    with pytest.raises(LladaError, match="rows of 1 tokens"):
        arm_loss(causal, torch.full((3, 1), 20))
