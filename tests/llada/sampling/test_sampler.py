"""The reverse process: an oracle in plain loops, and what must hold for every setting."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llada.config import ModelConfig
from llada.errors import LladaError
from llada.model import MaskPredictor
from llada.sampling import Generation, SamplingConfig, generate
from llada.sampling.remasking import STRATEGIES
from llada.tokenizer import Tokenizer

MASK, EOS, EOT = 4, 1, 9
PROMPT = torch.tensor([[11, 12, 13], [21, 22, 23]])
Seeded = Callable[[int], torch.Generator]


class Fixed:
    """A predictor with the same logits everywhere, whatever it sees."""

    def __init__(self, config: ModelConfig, logits_V: Tensor) -> None:
        self.config, self.logits_V = config, logits_V

    def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.logits_V.expand(*ids_BL.shape, -1)


def slow_generate(
    model: MaskPredictor, prompt: list[int], config: SamplingConfig, padding: int
) -> list[int]:
    """Run Algorithm 5 on one prompt: greedy, low confidence, one candidate at a time."""
    blocks = config.gen_length // config.block_length
    steps = config.steps // blocks
    ids = prompt + [MASK] * config.gen_length
    mask = torch.tensor([[0] * padding + [1] * (len(ids) - padding)])
    for block in range(blocks):
        first = len(prompt) + block * config.block_length
        for step in range(steps):
            due = config.block_length // steps + (step < config.block_length % steps)
            logits_LV = model(torch.tensor([ids]), mask)[0]
            if config.cfg_scale:
                blind = [MASK] * len(prompt) + ids[len(prompt) :]
                blind_LV = model(torch.tensor([blind]), mask)[0]
                logits_LV = blind_LV + (config.cfg_scale + 1) * (logits_LV - blind_LV)
            candidates = []
            for i in range(first, first + config.block_length):
                if ids[i] != MASK:
                    continue
                logits = logits_LV[i].tolist()
                for token in config.forbidden_ids:
                    logits[token] = -math.inf
                allowed = [token for token in range(len(logits)) if token != MASK]
                best = max(allowed, key=logits.__getitem__)
                counted = [x for j, x in enumerate(logits) if j not in config.deferred_ids]
                late = best in config.deferred_ids
                surest = 0.0 if late else math.exp(logits[best]) / sum(map(math.exp, counted))
                candidates.append((-surest, i, best))
            for _, i, best in sorted(candidates)[:due]:
                ids[i] = best
    return ids


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("scale", [0.0, 1.0])
@pytest.mark.parametrize(
    ("steps", "gen_length", "block_length"), [(12, 12, 12), (4, 12, 6), (10, 12, 6), (16, 12, 6)]
)
def test_exact_mode_agrees_with_plain_loops(
    model: MaskPredictor,
    *,
    steps: int,
    gen_length: int,
    block_length: int,
    scale: float,
    padding: int,
) -> None:
    config = SamplingConfig(
        steps=steps, gen_length=gen_length, block_length=block_length, cfg_scale=scale
    )
    prompt_BP = torch.tensor([[EOS] * padding + [11, 12, 13], list(range(31, 34 + padding))])
    mask_BP = torch.ones_like(prompt_BP)
    mask_BP[0, :padding] = 0
    found = generate(model, prompt_BP, config, attention_mask=mask_BP if padding else None)
    assert found.ids_BT.tolist() == [
        slow_generate(model, prompt, config, padding if row == 0 else 0)
        for row, prompt in enumerate(prompt_BP.tolist())
    ]
    assert found.forward_passes == min(steps, gen_length) * (2 if scale else 1)


@pytest.mark.parametrize("field", ["forbidden_ids", "deferred_ids"])
def test_suppressed_ids_agree_with_plain_loops(model: MaskPredictor, field: str) -> None:
    free = SamplingConfig(steps=12, gen_length=12, block_length=12)
    sampled = generate(model, PROMPT[:1], free).ids_BT[0, 3:].tolist()
    # A token sampled once: of several deferred ones, equal in rank, any may come first.
    once = next(token for token in sampled if sampled.count(token) == 1)
    config = free.model_copy(update={field: (once,)})
    found = generate(model, PROMPT[:1], config).ids_BT[0].tolist()
    assert found == slow_generate(model, PROMPT[0].tolist(), config, 0)
    assert found[3:] != sampled
    assert field == "deferred_ids" or once not in found


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([(1, 4, 4), (2, 8, 4), (6, 6, 3), (8, 8, 8), (20, 8, 4), (3, 9, 9)]),
    temperature=st.sampled_from([0.0, 0.5, 2.0]),
    scale=st.sampled_from([0.0, 0.7]),
    remasking=st.sampled_from(list(STRATEGIES)),
    forbidden=st.booleans(),
    fast=st.sampled_from(
        [
            {},
            {"cache": "prefix"},
            {"cache": "dual", "cache_refresh": 2},
            {"cache": "dual", "parallel": {"threshold": 0.02}, "early_exit": True},
            {"parallel": {"entropy": 12.0}, "early_exit": True},
        ]
    ),
    seed=st.integers(0, 50),
)
def test_what_holds_for_every_setting(
    model: MaskPredictor,
    *,
    shape: tuple[int, int, int],
    temperature: float,
    scale: float,
    remasking: str,
    forbidden: bool,
    fast: dict[str, object],
    seed: int,
) -> None:
    steps, gen_length, block_length = shape
    config = SamplingConfig.model_validate(
        {
            "steps": steps,
            "gen_length": gen_length,
            "block_length": block_length,
            "temperature": temperature,
            "cfg_scale": scale,
            "remasking": "low_confidence" if "parallel" in fast else remasking,
            "forbidden_ids": (EOS,) if forbidden else (),
            **fast,
        }
    )
    one, two = (
        generate(model, PROMPT, config, rng=torch.Generator().manual_seed(seed)) for _ in range(2)
    )
    assert torch.equal(one.ids_BT, two.ids_BT)
    assert torch.equal(one.ids_BT[:, :3], PROMPT)
    answer_BA = one.ids_BT[:, 3:]
    assert answer_BA.shape == (2, gen_length)
    assert not (answer_BA == MASK).any()
    assert not forbidden or not (answer_BA == EOS).any()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_mask_id_is_never_committed(
    config: ModelConfig, seeded: Seeded, temperature: float
) -> None:
    logits_V = torch.zeros(96)
    logits_V[MASK], logits_V[50] = 90.0, 40.0
    settings_ = SamplingConfig(steps=4, gen_length=8, block_length=8, temperature=temperature)
    found = generate(Fixed(config, logits_V), PROMPT, settings_, rng=seeded(0))
    assert (found.ids_BT[:, 3:] == 50).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_samples_the_tempered_distribution(
    config: ModelConfig, seeded: Seeded, temperature: float
) -> None:
    logits_V = torch.full((96,), -1e9)
    logits_V[60:63] = torch.tensor([0.0, 1.0, 2.0])
    settings_ = SamplingConfig(steps=1, gen_length=500, block_length=500, temperature=temperature)
    prompt = torch.full((8, 1), 11)
    answer = generate(Fixed(config, logits_V), prompt, settings_, rng=seeded(1)).ids_BT[:, 1:]
    found = answer.flatten().bincount(minlength=96)[60:63] / answer.numel()
    expected = (logits_V[60:63] / temperature).softmax(0)
    torch.testing.assert_close(found, expected, atol=0.025, rtol=0)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("remasking", STRATEGIES)
def test_deferred_ids_are_committed_last(
    config: ModelConfig, seeded: Seeded, temperature: float, remasking: str
) -> None:
    """At a temperature too: there the official implementation defers nothing."""
    seen: list[Tensor] = []

    class Watching(Fixed):
        def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
            seen.append(ids_BL[0, 1:].clone())
            # Three positions want EOS badly, the others are torn between two words.
            logits_BLV = torch.full((*ids_BL.shape, 96), -1e9)
            logits_BLV[:, :, 50:52] = 0.0
            logits_BLV[:, 1:4, EOS] = 9.0
            return logits_BLV

    settings_ = SamplingConfig(
        steps=8, gen_length=8, block_length=8, temperature=temperature, remasking=remasking,
        deferred_ids=(EOS, EOT),
    )  # fmt: skip
    watching = Watching(config, torch.zeros(96))
    found = generate(watching, torch.tensor([[11]]), settings_, rng=seeded(2))
    ends = (found.ids_BT[0] == EOS).sum().item()
    assert ends > 0
    for answer in seen[: 8 - ends + 1]:
        assert not (answer == EOS).any()


def test_a_deferred_id_takes_no_confidence_from_the_others(config: ModelConfig) -> None:
    """The first word is torn between itself and EOS; EOS set aside, it is the surer of the two."""

    class Torn(Fixed):
        def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
            logits_BLV = torch.full((*ids_BL.shape, 96), -20.0)
            logits_BLV[:, 1, 50], logits_BLV[:, 1, EOS] = 2.0, 1.9
            logits_BLV[:, 2, 51], logits_BLV[:, 2, 52] = 2.0, 1.0
            if MASK not in ids_BL[:, 1].tolist():
                logits_BLV[:, 2, 53] = 9.0  # only seen by who comes second
            return logits_BLV

    settings_ = SamplingConfig(steps=2, gen_length=2, block_length=2)
    torn, prompt = Torn(config, torch.zeros(96)), torch.tensor([[11]])
    assert generate(torn, prompt, settings_).ids_BT.tolist() == [[11, 50, 51]]
    deferring = settings_.model_copy(update={"deferred_ids": (EOS,)})
    assert generate(torn, prompt, deferring).ids_BT.tolist() == [[11, 50, 53]]


def test_a_mask_id_in_the_prompt_stays_there(model: MaskPredictor) -> None:
    prompt = torch.tensor([[11, MASK, 13]])
    found = generate(model, prompt, SamplingConfig(steps=4, gen_length=4, block_length=4))
    assert found.ids_BT[0, :3].tolist() == [11, MASK, 13]
    assert MASK not in found.ids_BT[0, 3:].tolist()


def test_sampled_ids_can_be_trained_on(model: MaskPredictor, seeded: Seeded) -> None:
    found = generate(model, PROMPT, SamplingConfig(steps=2, gen_length=4, block_length=4))
    trainable = MaskPredictor(model.config, rng=seeded(0))
    trainable(found.ids_BT).sum().backward()


def test_answers_end_at_the_first_end() -> None:
    tokenizer = Tokenizer.train(["one two three"] * 3, vocab_size=280)
    one, two = tokenizer.encode("one"), tokenizer.encode(" two")
    rows = [[*one, EOS, *two, EOT], [*one, EOT, *two, EOS], [*one, *two, *one]]
    longest = max(map(len, rows))
    ids = torch.tensor([[7, *row, *[EOS] * (longest - len(row))] for row in rows])
    texts = Generation(ids, prompt_length=1, forward_passes=1).answer_texts(tokenizer)
    assert texts == ["one", "one", "one twoone"]


def test_randomness_without_a_generator_is_refused(model: MaskPredictor) -> None:
    config = SamplingConfig(steps=2, gen_length=4, block_length=4, temperature=1.0)
    with pytest.raises(LladaError, match="rng=None"):
        generate(model, PROMPT, config)


@pytest.mark.parametrize("field", ["forbidden_ids", "deferred_ids"])
def test_ids_outside_the_vocabulary_are_refused(model: MaskPredictor, field: str) -> None:
    config = SamplingConfig(steps=2, gen_length=4, block_length=4, **{field: (126_081,)})
    with pytest.raises(LladaError, match=rf"{field} holds \[126081\].*0 to 95"):
        generate(model, PROMPT, config)


def test_prompts_that_are_not_rows_are_refused(model: MaskPredictor) -> None:
    config = SamplingConfig(steps=2, gen_length=4, block_length=4)
    with pytest.raises(LladaError, match=r"shape \(3,\)"):
        generate(model, PROMPT[0], config)
    with pytest.raises(LladaError, match=r"mask of shape \(2, 7\)"):
        generate(model, PROMPT, config, attention_mask=torch.ones(2, 7))
