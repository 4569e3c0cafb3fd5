"""A seed fixes the text, whoever else is in the batch; the noise fits into memory."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from llada.config import ModelConfig
from llada.errors import LladaError
from llada.model import MaskPredictor
from llada.sampling import SamplingConfig, candidates, generate
from llada.sampling.remasking import STRATEGIES
from llada.tokenizer import Tokenizer

EOS = 1
PROMPTS = [[11, 12, 13], [21, 22, 23, 24, 25], [31]]
NOISY = SamplingConfig(steps=6, gen_length=12, block_length=6, temperature=1.0)


def generators(seed: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + row) for row in range(3)]


@pytest.mark.parametrize("scale", [0.0, 1.0])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("remasking", STRATEGIES)
def test_each_row_of_a_batch_gets_what_it_would_get_alone(
    model: MaskPredictor, remasking: str, temperature: float, scale: float
) -> None:
    """Prompts of three lengths, padded from the left; in float32, where no rounding decides."""
    config = NOISY.model_copy(
        update={"remasking": remasking, "temperature": temperature, "cfg_scale": scale}
    )
    prompt_BP = torch.tensor([[EOS] * (5 - len(prompt)) + prompt for prompt in PROMPTS])
    mask_BP = torch.tensor([[0] * (5 - len(prompt)) + [1] * len(prompt) for prompt in PROMPTS])
    together = generate(model, prompt_BP, config, attention_mask=mask_BP, rng=generators(5))
    for row, prompt in enumerate(PROMPTS):
        alone = generate(model, torch.tensor([prompt]), config, rng=generators(5)[row])
        assert together.ids_BT[row, 5:].tolist() == alone.ids_BT[0, len(prompt) :].tolist()


def test_seeds_matter(model: MaskPredictor) -> None:
    one, two = (
        generate(model, torch.tensor([[11]]), NOISY, rng=torch.Generator().manual_seed(seed))
        for seed in (0, 1)
    )
    assert not torch.equal(one.ids_BT, two.ids_BT)


def test_a_generator_is_needed_for_every_row(model: MaskPredictor) -> None:
    with pytest.raises(LladaError, match="rng holds 3 generators for 1 rows"):
        generate(model, torch.tensor([[11]]), NOISY, rng=generators(0))


class Largest(TorchDispatchMode):
    """Remembers the largest float64 tensor that any operation made, in bytes."""

    found = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.dtype == torch.float64:
            self.found = max(self.found, out.nbytes)
        return out


def test_the_noise_is_drawn_in_portions_that_change_nothing(
    model: MaskPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = NOISY.model_copy(update={"block_length": 12})
    prompt = torch.tensor([[11, 12]]).expand(8, -1)

    def run() -> tuple[Tensor, int]:
        with Largest() as largest:
            found = generate(model, prompt, config, rng=torch.Generator().manual_seed(0))
        return found.ids_BT, largest.found

    whole, at_once = run()
    assert at_once == 8 * 12 * 96 * 8  # all candidates of the first step
    monkeypatch.setattr(candidates, "NOISE_BYTES", 5 * 96 * 8)
    parts, portion = run()
    assert portion == 5 * 96 * 8
    assert torch.equal(whole, parts)


def test_reserved_ids_are_those_that_say_nothing(config: ModelConfig) -> None:
    tokenizer = Tokenizer.train(["one two three"] * 3, vocab_size=280)
    reserved = tokenizer.reserved_ids(tokenizer.vocab_size + 3)
    special = tokenizer.special
    assert {special.bos, special.start_header, special.end_header} < set(reserved)
    assert not {special.mask, special.eos, special.eot} & set(reserved)
    assert reserved[-3:] == tuple(range(tokenizer.vocab_size, tokenizer.vocab_size + 3))
    assert all(tokenizer.decode([i]) == "" for i in reserved[:-3])
    model = MaskPredictor(config, rng=torch.Generator().manual_seed(0))
    forbidding = NOISY.model_copy(
        update={"forbidden_ids": tuple(i for i in reserved if i < 96), "temperature": 9.0}
    )
    found = generate(model, torch.tensor([[11]] * 8), forbidding, rng=torch.Generator())
    assert not torch.isin(found.ids_BT[:, 1:], torch.tensor(reserved)).any()
