"""The mask predictor: an oracle in plain loops, what it may see, and where its weights lie."""

import math

import pytest
import torch
from torch import Tensor

from llada.attention import rotary_angles
from llada.config import PRESETS, ModelConfig
from llada.errors import LladaError
from llada.layers import Block, RMSNorm
from llada.model import MaskPredictor, hidden_and_head

IDS = torch.tensor([[11, 4, 13, 14, 4, 16], [21, 22, 4, 4, 25, 26]])


def slow_logits(model: MaskPredictor, ids: list[int], visible: list[bool]) -> list[list[float]]:
    """Compute one sequence, one position, one head and one channel at a time."""
    config, state = model.config, model.double().state_dict()
    width, group = config.head_dim, config.n_heads // config.n_kv_heads

    def weight(name: str) -> Tensor:
        return state[f"model.transformer.{name}.weight"]

    def norm(x: Tensor, name: str) -> Tensor:
        return x / (x.pow(2).mean() + config.rms_norm_eps).sqrt() * weight(name)

    def turn(x: Tensor, position: int) -> Tensor:
        turned, half = x.clone(), width // 2
        for i in range(half):
            angle = position / config.rope_theta ** (2 * i / width)
            turned[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
            turned[i + half] = x[i + half] * math.cos(angle) + x[i] * math.sin(angle)
        return turned

    stream = [weight("wte")[token] for token in ids]
    for layer in range(config.n_layers):
        block = f"blocks.{layer}"
        normed = [norm(x, f"{block}.attn_norm") for x in stream]
        q, k, v = ([weight(f"{block}.{p}_proj") @ x for x in normed] for p in "qkv")
        for i in range(len(ids)):
            heads = []
            for head in range(config.n_heads):
                mine = slice(head * width, (head + 1) * width)
                shared = slice(head // group * width, (head // group + 1) * width)
                query = turn(q[i][mine], i)
                keys = [
                    j
                    for j in range(len(ids))
                    if j == i or (visible[j] and not (config.causal and j > i))
                ]
                score = torch.stack([query @ turn(k[j][shared], j) for j in keys])
                share = (score / math.sqrt(width)).softmax(0)
                heads.append(sum(s * v[j][shared] for s, j in zip(share, keys, strict=True)))
            stream[i] = stream[i] + weight(f"{block}.attn_out") @ torch.cat(heads)
            x = norm(stream[i], f"{block}.ff_norm")
            gate, up = weight(f"{block}.ff_proj") @ x, weight(f"{block}.up_proj") @ x
            stream[i] = stream[i] + weight(f"{block}.ff_out") @ (gate * gate.sigmoid() * up)
    head_weight = weight("wte" if config.tied_embeddings else "ff_out")
    return [(head_weight @ norm(x, "ln_f")).tolist() for x in stream]


@pytest.mark.parametrize("kind", [{}, {"causal": True}, {"tied_embeddings": True, "n_kv_heads": 4}])
@pytest.mark.parametrize("padding", [0, 2])
def test_agrees_with_plain_loops(
    config: ModelConfig, kind: dict[str, object], padding: int
) -> None:
    model = MaskPredictor(ModelConfig(**{**dict(config), **kind})).requires_grad_(False)
    mask = torch.ones_like(IDS)
    mask[0, :padding] = 0
    logits_BLV = model(IDS, mask if padding else None)
    expected = torch.tensor(slow_logits(model, IDS[0].tolist(), mask[0].bool().tolist()))
    torch.testing.assert_close(
        logits_BLV[0, padding:], expected[padding:].float(), rtol=1e-4, atol=1e-5
    )
    assert logits_BLV.isfinite().all()


@pytest.mark.parametrize("name", PRESETS)
def test_counts_of_the_config_are_those_of_the_module(name: str) -> None:
    config = ModelConfig.preset(name)
    with torch.device("meta"):
        model = MaskPredictor(config)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    outside = ("model.transformer.wte.weight", "model.transformer.ff_out.weight")
    assert sum(sizes.values()) == config.parameter_count()
    assert (
        sum(size for name, size in sizes.items() if name not in outside)
        == config.non_embedding_parameter_count()
    )


def test_padding_changes_nothing(model: MaskPredictor) -> None:
    padded = torch.cat([torch.full((2, 3), 1), IDS], dim=1)
    mask = (torch.arange(9) >= 3).expand(2, -1)
    torch.testing.assert_close(model(padded, mask)[:, 3:], model(IDS), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(padded)[:, 3:], model(IDS), atol=1e-3)


@pytest.mark.parametrize("causal", [False, True])
def test_only_the_baseline_is_blind_to_the_right(config: ModelConfig, causal: bool) -> None:
    model = MaskPredictor(config.model_copy(update={"causal": causal}))
    other = IDS.clone()
    other[:, -1] = 30
    same = torch.allclose(model(IDS)[:, :-1], model(other)[:, :-1], atol=1e-6)
    assert same is causal


def test_head_on_some_rows_is_the_whole_head_on_those_rows(model: MaskPredictor) -> None:
    rows = IDS == 4
    hidden, head = hidden_and_head(model, IDS)
    assert hidden.shape == (*IDS.shape, model.config.d_model)
    torch.testing.assert_close(head(hidden[rows]), model(IDS)[rows])
    hidden, head = hidden_and_head(lambda ids, attention_mask=None: model(ids), IDS)
    torch.testing.assert_close(head(hidden[rows]), model(IDS)[rows])


@pytest.mark.parametrize("padded", [False, True])
def test_the_last_layer_spares_places_nobody_asks_for(model: MaskPredictor, padded: bool) -> None:
    mask = None
    if padded:
        mask = torch.ones_like(IDS)
        mask[0, :2] = 0
    place_N = torch.tensor([IDS.numel() - 1, 3, 3, IDS.shape[1] + 1])  # any order, also twice
    expected = model.hidden(IDS, mask).flatten(0, 1)[place_N]
    seen = []
    *_, last = model.model.transformer.blocks
    assert isinstance(last, Block)
    last.ff_out.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    h_ND, head = hidden_and_head(model, IDS, mask, place_N=place_N)
    assert seen == [4]
    torch.testing.assert_close(h_ND, expected)
    torch.testing.assert_close(head(h_ND), model(IDS, mask).flatten(0, 1)[place_N])
    h_ND, head = hidden_and_head(lambda ids, attention_mask: model(ids), IDS, mask, place_N=place_N)
    torch.testing.assert_close(head(h_ND), model(IDS).flatten(0, 1)[place_N])
    if padded:
        with pytest.raises(IndexError):
            model.hidden(IDS, mask, place_N=torch.tensor([0]))


def test_a_compiled_last_layer_computes_all_places(config: ModelConfig) -> None:
    """Or it would be compiled anew for every number of places."""
    model = MaskPredictor(config).requires_grad_(False)
    expected = model.hidden(IDS, place_N=torch.tensor([1, 4]))
    *_, last = model.model.transformer.blocks
    last.compile(backend="eager", dynamic=False)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for count in (1, 2):
            h_ND = model.hidden(IDS, place_N=torch.tensor([1, 4])[:count])
            torch.testing.assert_close(h_ND, expected[:count])


def test_norm_is_cast_back_before_the_weight() -> None:
    norm = RMSNorm(512, 1e-5).to(torch.bfloat16)
    rng = torch.Generator().manual_seed(0)
    norm.weight.data = torch.rand(512, generator=rng).to(torch.bfloat16)
    x = torch.randn(512, generator=rng).to(torch.bfloat16)
    wide = x.float()
    scaled = (wide / (wide.pow(2).mean() + 1e-5).sqrt()).to(torch.bfloat16)
    assert torch.equal(norm(x), scaled * norm.weight)


def test_positions_stay_exact(model: MaskPredictor) -> None:
    """In bfloat16 the positions above 256 would collapse onto each other."""
    angles_LE = rotary_angles(torch.arange(4096), 8, 500_000.0)
    assert angles_LE[4095].tolist() == pytest.approx(
        [4095 / 500_000.0 ** (i / 8) for i in (0, 2, 4, 6)] * 2, rel=1e-6
    )
    assert not list(model.buffers())  # which `model.to(torch.bfloat16)` would round


def test_initial_weights_follow_mitchell() -> None:
    model = MaskPredictor(ModelConfig.preset("tiny"), rng=torch.Generator().manual_seed(1))
    d, hidden = 160, 480
    # A normal distribution cut at three sigma has 0.98658 of its standard deviation.
    for name, std in {
        "wte": d**-0.5,
        "ff_out": d**-0.5,
        "blocks.3.q_proj": d**-0.5,
        "blocks.3.ff_proj": d**-0.5,
        "blocks.0.attn_out": (d * 2) ** -0.5,
        "blocks.3.attn_out": (d * 8) ** -0.5,
        "blocks.3.ff_out": (hidden * 8) ** -0.5,
    }.items():
        weight = model.get_parameter(f"model.transformer.{name}.weight")
        assert weight.std().item() == pytest.approx(std * 0.98658, rel=0.02), name
        assert weight.abs().max().item() <= 3 * std * (1 + 1e-6), name


def test_one_seed_one_model(config: ModelConfig) -> None:
    one, two, other = (
        MaskPredictor(config, rng=torch.Generator().manual_seed(seed))(IDS) for seed in (3, 3, 4)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_too_long_a_sequence_is_refused(model: MaskPredictor) -> None:
    with pytest.raises(LladaError, match=r"513 tokens.*at most 512"):
        model(torch.zeros(1, 513, dtype=torch.long))
