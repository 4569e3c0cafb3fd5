"""The baseline: its likelihood by the chain rule, and its text from left to right."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch

from llada.autoregressive import arm_log_likelihood
from llada.config import ModelConfig
from llada.errors import LladaError
from llada.model import MaskPredictor
from llada.sampling.autoregressive import generate_autoregressive

PROMPT, ANSWER = [11, 12, 13], [21, 22, 23, 24]
Seeded = Callable[[int], torch.Generator]


@pytest.fixture(scope="module")
def arm(config: ModelConfig) -> MaskPredictor:
    causal = config.model_copy(update={"causal": True})
    model = MaskPredictor(causal, rng=torch.Generator().manual_seed(0)).requires_grad_(False)
    model.model.transformer.wte.weight.mul_(8)  # fresh weights know hardly any difference
    return model


def test_the_likelihood_is_the_product_over_prefixes(arm: MaskPredictor) -> None:
    expected = 0.0
    for place, token in enumerate(ANSWER):
        logits_V = arm(torch.tensor([PROMPT + ANSWER[:place]]))[0, -1]
        expected += logits_V.double().log_softmax(-1)[token].item()
    found = arm_log_likelihood(arm, PROMPT, torch.tensor(ANSWER))
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert found.stderr == 0.0


def test_all_answers_together_have_probability_one(config: ModelConfig) -> None:
    small = config.model_copy(update={"causal": True, "vocab_size": 6, "n_layers": 1})
    model = MaskPredictor(small, rng=torch.Generator().manual_seed(1))
    answers = itertools.product(range(6), repeat=2)
    total = sum(math.exp(arm_log_likelihood(model, [3], list(each)).value) for each in answers)
    assert total == pytest.approx(1.0, abs=1e-5)


def test_greedy_text_takes_the_likeliest_token_each_time(arm: MaskPredictor) -> None:
    found = generate_autoregressive(arm, torch.tensor([PROMPT, ANSWER[:3]]), 5)
    for row, prompt in zip(found.ids_BT.tolist(), (PROMPT, ANSWER[:3]), strict=True):
        text = list(prompt)
        for _ in range(5):
            text.append(int(arm(torch.tensor([text]))[0, -1].argmax()))
        assert row == text
    assert (found.prompt_length, found.forward_passes) == (3, 5)


def test_a_row_that_has_ended_stays_ended_and_costs_nothing_more(arm: MaskPredictor) -> None:
    free = generate_autoregressive(arm, torch.tensor([PROMPT]), 6)
    second = int(free.ids_BT[0, 4])
    stopped = generate_autoregressive(arm, torch.tensor([PROMPT]), 6, eos_id=second)
    first_end = free.ids_BT[0, 3:].tolist().index(second)
    assert stopped.ids_BT[0, : 4 + first_end].tolist() == free.ids_BT[0, : 4 + first_end].tolist()
    assert stopped.ids_BT[0, 4 + first_end :].tolist() == [second] * (5 - first_end)
    assert stopped.forward_passes == first_end + 1


def test_temperature_draws_from_the_softmax(arm: MaskPredictor, seeded: Seeded) -> None:
    prompts = torch.tensor([PROMPT]).expand(4000, -1)
    drawn = generate_autoregressive(arm, prompts, 1, temperature=2.0, rng=seeded(3)).ids_BT[:, -1]
    p_V = (arm(prompts[:1])[0, -1] / 2.0).softmax(-1)
    share_V = torch.bincount(drawn, minlength=len(p_V)) / len(drawn)
    assert (share_V - p_V).abs().max() < 4 * (p_V.max() / 4000).sqrt()
    again = generate_autoregressive(arm, prompts, 1, temperature=2.0, rng=seeded(3)).ids_BT[:, -1]
    assert torch.equal(drawn, again)


def test_a_model_that_sees_both_sides_is_refused(model: MaskPredictor) -> None:
    with pytest.raises(LladaError, match="both sides"):
        arm_log_likelihood(model, PROMPT, ANSWER)
    with pytest.raises(LladaError, match="both sides"):
        generate_autoregressive(model, torch.tensor([PROMPT]), 2)


def test_nothing_to_read_or_too_much_is_refused(arm: MaskPredictor) -> None:
    with pytest.raises(LladaError, match="end-of-text"):
        arm_log_likelihood(arm, [], ANSWER)
    with pytest.raises(LladaError, match="at most 512"):
        generate_autoregressive(arm, torch.tensor([PROMPT]), 510)
