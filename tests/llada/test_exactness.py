"""The same logits as a second implementation that reads the published names itself, to 1e-4."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from llada.config import ModelConfig
from llada.layouts import LayoutName
from llada.model import MaskPredictor
from tests.llada.reference import Reference

KINDS: dict[str, dict[str, object]] = {
    "mha": {},
    "gqa": {"n_kv_heads": 2},
    "one-kv-head": {"n_kv_heads": 1},
    "tied": {"n_kv_heads": 2, "tied_embeddings": True},
    "causal": {"causal": True},
    "theta": {"rope_theta": 10_000.0, "rms_norm_eps": 1e-2},
}


@pytest.fixture(params=KINDS)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    sizes = {"d_model": 64, "n_layers": 4, "n_heads": 8, "n_kv_heads": 8, "ffn_hidden": 160}
    given = {**sizes, "rope_theta": 500_000.0, **KINDS[request.param]}
    return ModelConfig.preset("tiny", **given)


def batch(length: int = 150) -> tuple[Tensor, Tensor]:
    """Return ids, and a mask with padding on the left, on the right, in the middle and nowhere."""
    ids = torch.randint(0, 4096, (4, length), generator=torch.Generator().manual_seed(5))
    mask = torch.ones(4, length, dtype=torch.long)
    mask[0, : length // 3] = 0
    mask[1, length // 2 :] = 0
    mask[2, 10:20] = 0
    return ids, mask


def varied(config: ModelConfig) -> MaskPredictor:
    """Draw norms as well: at their start they are all ones, and could be anywhere."""
    rng = torch.Generator().manual_seed(2)
    model = MaskPredictor(config, rng=rng).requires_grad_(False)
    for name, weight in model.named_parameters():
        if "norm" in name or "ln_f" in name:
            weight.copy_(torch.rand(weight.shape, generator=rng) + 0.5)
    return model


@pytest.mark.parametrize("layout", ["llada", "llama"])
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_logits_in_float32(
    config: ModelConfig, layout: LayoutName, stored: torch.dtype, tmp_path: Path
) -> None:
    varied(config).to(stored).save_pretrained(tmp_path, layout=layout, max_shard_bytes=400_000)
    model = MaskPredictor.from_pretrained(tmp_path, dtype=torch.float32).requires_grad_(False)
    reference = Reference(tmp_path, torch.float32)
    ids, mask = batch()
    assert (model(ids) - reference(ids)).abs().max() < 1e-4
    shown = mask.bool()
    if config.causal:  # a padded query that may see nothing has no answer
        assert (model(ids, mask) - reference(ids, mask))[shown].abs().max() < 1e-4
    else:
        assert (model(ids, mask) - reference(ids, mask)).abs().max() < 1e-4
    logits = model.head(model.hidden(ids, mask))
    assert (logits - reference(ids, mask))[shown].abs().max() < 1e-4
    assert reference(ids).std() > 0.1  # not equal for want of anything to compute


def test_logits_in_bfloat16_are_rounded_at_the_same_places(
    config: ModelConfig, tmp_path: Path
) -> None:
    varied(config).to(torch.bfloat16).save_pretrained(tmp_path)
    model = MaskPredictor.from_pretrained(tmp_path).requires_grad_(False)
    ids, _ = batch(60)
    exact = Reference(tmp_path, torch.float32)(ids)
    rounded = Reference(tmp_path, torch.bfloat16)(ids).float()
    ours = model(ids).float()
    error = (rounded - exact).square().mean().sqrt()
    assert (ours - exact).square().mean().sqrt() < 1.2 * error
    assert error > 0
