"""A prepared model gives the texts of the plain one, from buffers and records that it reuses."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from llada.config import ModelConfig
from llada.errors import LladaError
from llada.model import MaskPredictor
from llada.sampling import Prepared, SamplingConfig, generate

EOS = 1
PROMPT = torch.tensor([[EOS, EOS, 11, 12, 13], [21, 22, 23, 24, 25]])
OTHER = torch.tensor([[EOS, 31, 32, 33, 34], [41, 42, 43, 44, 45]])
PADDED = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(autouse=True)
def _compiler_forgets() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def settings(**more: object) -> SamplingConfig:
    fields = {"steps": 8, "gen_length": 16, "block_length": 8, "cache": "dual"}
    return SamplingConfig.model_validate(fields | more)


@pytest.mark.parametrize("backend", [None, "eager", "aot_eager"])
@pytest.mark.parametrize("padding", [None, PADDED])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"cfg_scale": 0.8},
        {"cache": "prefix", "cache_refresh": 2},
        {"steps": 16, "parallel": {"threshold": 0.02}, "early_exit": True},
    ],
)
def test_texts_are_those_of_the_plain_model(
    model: MaskPredictor, backend: str | None, padding: Tensor | None, more: dict[str, object]
) -> None:
    config, ready = settings(**more), Prepared(copy.deepcopy(model), backend=backend)
    for prompt, mask in ((PROMPT, padding), (OTHER, padding), (PROMPT, None)):
        plain = generate(model, prompt, config, attention_mask=mask)
        found = generate(ready, prompt, config, attention_mask=mask)
        assert torch.equal(found.ids_BT, plain.ids_BT)
        assert found.forward_passes == plain.forward_passes


def test_a_shape_is_recorded_once_and_its_buffers_stay(model: MaskPredictor) -> None:
    ready = Prepared(model, backend=None)
    passes = 0
    plain = model.hidden_cached

    def counted(*arguments: object) -> Tensor:
        nonlocal passes
        passes += 1
        return plain(*arguments)  # type: ignore[arg-type]

    model.hidden_cached = counted  # type: ignore[method-assign]
    try:
        first = generate(ready, PROMPT, settings())
        recording = passes - first.forward_passes
        generate(ready, OTHER, settings())
    finally:
        del model.hidden_cached
    assert recording == 1
    assert passes == 2 * first.forward_passes + recording
    assert ready.new_cache(2, 21) is ready.new_cache(2, 21)
    assert ready.new_cache(2, 21) is not ready.new_cache(2, 22)


def test_only_the_shapes_used_last_keep_their_buffers(model: MaskPredictor) -> None:
    ready = Prepared(model, backend=None, shapes=2)
    one, two = ready.new_cache(1, 8), ready.new_cache(2, 8)
    assert ready.new_cache(1, 8) is one
    ready.new_cache(3, 8)  # in place of the one not used for longest
    assert ready.new_cache(1, 8) is one
    assert ready.new_cache(2, 8) is not two
    plain = generate(model, PROMPT, settings())
    alone = Prepared(model, backend=None, shapes=1)
    for prompt in (PROMPT, PROMPT[:1], PROMPT):  # recorded, forgotten, recorded anew
        found = generate(alone, prompt, settings())
        assert torch.equal(found.ids_BT, plain.ids_BT[: len(prompt)])
        assert len({key[0] for key in alone._recorded}) == 1


def test_without_a_cache_it_is_the_model(model: MaskPredictor) -> None:
    config = settings(cache="none")
    found = generate(Prepared(model, backend=None), PROMPT, config, attention_mask=PADDED)
    assert torch.equal(found.ids_BT, generate(model, PROMPT, config, attention_mask=PADDED).ids_BT)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_graphs_without_a_gpu_are_refused(model: MaskPredictor) -> None:
    with pytest.raises(LladaError, match="CUDA graphs need a GPU"):
        Prepared(model, graphs=True)


def test_a_causal_model_is_refused(config: ModelConfig) -> None:
    causal = MaskPredictor(config.model_copy(update={"causal": True}))
    with pytest.raises(LladaError, match="causal"):
        Prepared(causal, backend=None)


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("backend", [None, "inductor"])
@pytest.mark.parametrize("padding", [None, PADDED])
def test_recorded_steps_give_the_same_texts_on_a_gpu(
    model: MaskPredictor, backend: str | None, padding: Tensor | None
) -> None:
    there = copy.deepcopy(model).to("cuda")
    ready = Prepared(copy.deepcopy(there), backend=backend)
    mask = None if padding is None else padding.cuda()
    for prompt in (PROMPT.cuda(), OTHER.cuda(), PROMPT.cuda()):
        plain = generate(there, prompt, settings(), attention_mask=mask)
        found = generate(ready, prompt, settings(), attention_mask=mask)
        assert torch.equal(found.ids_BT, plain.ids_BT)
