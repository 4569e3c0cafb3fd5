"""Keys and values kept between steps: exact where nothing changes, and only then."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from llada.cache import KeyValueCache
from llada.config import ModelConfig
from llada.errors import LladaError
from llada.model import MaskPredictor
from llada.sampling import SamplingConfig, Trace, generate, infill

MASK, EOS = 4, 1
PROMPT = torch.tensor([[EOS, EOS, 11, 12, 13], [21, 22, 23, 24, 25]])
PADDED = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
BLOCKS = SamplingConfig(steps=8, gen_length=16, block_length=8)
Seeded = Callable[[int], torch.Generator]

cached = pytest.mark.parametrize("cache", ["prefix", "dual"])
guided = pytest.mark.parametrize("scale", [0.0, 0.8])


@cached
@guided
@pytest.mark.parametrize("padding", [None, PADDED])
def test_renewed_at_every_step_it_is_exact(
    model: MaskPredictor, cache: str, scale: float, padding: Tensor | None
) -> None:
    exact = BLOCKS.model_copy(update={"cfg_scale": scale})
    renewed = exact.model_copy(update={"cache": cache, "cache_refresh": 1})
    one = generate(model, PROMPT, exact, attention_mask=padding)
    two = generate(model, PROMPT, renewed, attention_mask=padding)
    assert torch.equal(one.ids_BT, two.ids_BT)
    assert one.forward_passes == two.forward_passes


@cached
@guided
@pytest.mark.parametrize("padding", [None, PADDED])
def test_one_layer_keeps_what_does_not_change(
    config: ModelConfig, seeded: Seeded, cache: str, scale: float, padding: Tensor | None
) -> None:
    """Keys of the first layer are those of a token and its place, whatever stands elsewhere."""
    shallow = MaskPredictor(config.model_copy(update={"n_layers": 1}), rng=seeded(1))
    exact = BLOCKS.model_copy(update={"cfg_scale": scale})
    one = generate(shallow, PROMPT, exact, attention_mask=padding)
    two = generate(
        shallow, PROMPT, exact.model_copy(update={"cache": cache}), attention_mask=padding
    )
    assert torch.equal(one.ids_BT, two.ids_BT)


def test_a_pass_over_some_columns_sees_the_rest(model: MaskPredictor) -> None:
    """Unchanged text: the columns computed anew are those of the pass over everything."""
    ids_BT = torch.tensor([[EOS, 11, 12, 13, 14, 15], [21, 22, 23, 24, 25, 26]])
    mask_BT = (ids_BT != EOS).int()
    cache = KeyValueCache(model.config, 3, 6, dtype=torch.float32, device=ids_BT.device)
    cache.begin(2, mask_BT)
    whole_BTD = model.hidden_cached(ids_BT, cache)
    torch.testing.assert_close(
        whole_BTD[mask_BT.bool()], model.hidden(ids_BT, mask_BT)[mask_BT.bool()]
    )
    place_BN = torch.tensor([[5, 2, 3], [0, 4, 1]])
    some_BND = model.hidden_cached(ids_BT.gather(1, place_BN), cache, place_BN)
    row_B1 = torch.tensor([[0], [1]])
    torch.testing.assert_close(some_BND, whole_BTD[row_B1, place_BN])


@cached
def test_the_first_step_of_a_block_is_exact(model: MaskPredictor, cache: str) -> None:
    trace = Trace()
    config = BLOCKS.model_copy(update={"cache": cache})
    found = generate(model, PROMPT, config, attention_mask=PADDED, on_step=trace)
    mask_BT = torch.cat([PADDED, torch.ones(2, 16, dtype=torch.long)], 1)
    before = torch.cat([PROMPT, torch.full((2, 16), MASK)], 1)
    for number in (0, 4):
        step = trace.steps[number]
        p_BTV = model(before, mask_BT).softmax(-1)
        p_BT = p_BTV.gather(-1, found.ids_BT[:, :, None])[:, :, 0]
        torch.testing.assert_close(step.confidence_BT, torch.where(step.committed_BT, p_BT, 0.0))
        before = trace.steps[number + 3].ids_BT
    assert (found.ids_BT == MASK).sum() == 0


@guided
@pytest.mark.parametrize(
    ("cache", "refresh", "widths"),
    [
        ("dual", None, [21, 8, 8, 8, 21, 8, 8, 8]),
        ("prefix", None, [21, 16, 16, 16, 21, 8, 8, 8]),
        ("dual", 2, [21, 8, 21, 8, 21, 8, 21, 8]),
    ],
)
def test_a_step_computes_its_window_alone(
    config: ModelConfig,
    seeded: Seeded,
    cache: str,
    refresh: int | None,
    widths: list[int],
    *,
    scale: float,
) -> None:
    seen: list[tuple[int, ...]] = []

    class Watching(MaskPredictor):
        def hidden_cached(
            self, ids_BN: Tensor, cache: KeyValueCache, place_BN: Tensor | None = None
        ) -> Tensor:
            seen.append(tuple(ids_BN.shape))
            return super().hidden_cached(ids_BN, cache, place_BN)

    settings = BLOCKS.model_copy(
        update={"cache": cache, "cache_refresh": refresh, "cfg_scale": scale}
    )
    found = generate(Watching(config, rng=seeded(0)), PROMPT, settings)
    assert seen == [(4 if scale else 2, width) for width in widths]
    assert found.forward_passes == len(widths) * (2 if scale else 1)


@cached
@guided
@pytest.mark.parametrize("parallel", [None, {"threshold": 0.05}, {"entropy": 9.0}])
def test_a_row_is_answered_as_if_it_were_alone(
    model: MaskPredictor, cache: str, scale: float, parallel: dict[str, float] | None
) -> None:
    config = SamplingConfig.model_validate(
        {
            "steps": 16,
            "gen_length": 16,
            "block_length": 8,
            "temperature": 0.5,
            "cache": cache,
            "cfg_scale": scale,
            "parallel": parallel,
        }
    )
    together = generate(
        model,
        PROMPT,
        config,
        attention_mask=PADDED,
        rng=[torch.Generator().manual_seed(row) for row in range(2)],
    )
    for row, padding in enumerate((2, 0)):
        alone = generate(
            model,
            PROMPT[row : row + 1, padding:],
            config,
            rng=torch.Generator().manual_seed(row),
        )
        assert together.ids_BT[row, padding:].tolist() == alone.ids_BT[0].tolist()


@cached
def test_gaps_that_begin_at_different_columns_are_filled_as_if_alone(
    model: MaskPredictor, cache: str
) -> None:
    config = SamplingConfig.model_validate(
        {"steps": 6, "gen_length": 6, "block_length": 3, "cache": cache}
    )
    template = torch.tensor(
        [
            [11, MASK, 12, MASK, MASK, 13, MASK, 14, 15],
            [21, 22, 23, 24, MASK, MASK, MASK, MASK, MASK],
            [31, 32, 33, 34, 35, 36, 37, 38, MASK],
        ]
    )
    found = infill(model, template, config).ids_BT
    assert not (found == MASK).any()
    assert torch.equal(found[template != MASK], template[template != MASK])
    for row in range(3):
        assert torch.equal(found[row], infill(model, template[row : row + 1], config).ids_BT[0])


@cached
def test_what_cannot_be_cached_is_refused(
    config: ModelConfig, model: MaskPredictor, seeded: Seeded, cache: str
) -> None:
    settings = BLOCKS.model_copy(update={"cache": cache})
    causal = MaskPredictor(config.model_copy(update={"causal": True}), rng=seeded(0))
    with pytest.raises(LladaError, match=f"cache='{cache}' with a causal model"):
        generate(causal, PROMPT, settings)

    class Wrapped:
        def __init__(self) -> None:
            self.config = config

        def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
            return model(ids_BL, attention_mask)

    with pytest.raises(LladaError, match="with Wrapped; keys and values"):
        generate(Wrapped(), PROMPT, settings)
