"""Activation checkpointing changes memory alone; torch.compile sees one whole graph."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from llada.config import ModelConfig
from llada.model import MaskPredictor

IDS = torch.tensor([[11, 4, 13, 14, 4, 16, 7], [21, 22, 4, 4, 25, 26, 8]])
MASK = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]])
DOCUMENTS = torch.tensor([[0, 0, 0, 0, 1, 1, 1], [2, 2, 2, 2, 2, 2, 2]])


@pytest.fixture
def fresh(config: ModelConfig) -> MaskPredictor:
    return MaskPredictor(config, rng=torch.Generator().manual_seed(0))


@pytest.fixture
def _compiler_forgets() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def gradients(model: MaskPredictor, mask: Tensor | None) -> tuple[dict[str, Tensor], int]:
    """Return the gradients of one step, and how many bytes the forward pass kept for them."""
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model.hidden(IDS, mask).square().sum()
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return found, sum(kept.values())


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "padded"])
def test_checkpointing_keeps_less_and_changes_no_bit(
    fresh: MaskPredictor, mask: Tensor | None
) -> None:
    plain, kept = gradients(fresh, mask)
    fresh.checkpoint_activations = True
    again, kept_again = gradients(fresh, mask)
    assert plain.keys() == again.keys()
    assert len(plain) > 10
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert kept_again < kept / 2


def test_without_gradients_nothing_is_checkpointed(
    fresh: MaskPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llada.model.checkpoint", None)  # calling it would fail
    fresh.checkpoint_activations = True
    with torch.no_grad():
        assert fresh(IDS).isfinite().all()
    with pytest.raises(TypeError):
        fresh(IDS)


@pytest.mark.usefixtures("_compiler_forgets")
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_the_model_is_one_graph(fresh: MaskPredictor, backend: str, dynamic: bool) -> None:
    compiled = torch.compile(fresh, backend=backend, fullgraph=True, dynamic=dynamic)
    hidden = torch.compile(fresh.hidden, backend=backend, fullgraph=True, dynamic=dynamic)
    for length in (7, 5):
        ids, mask, documents = IDS[:, :length], MASK[:, :length], DOCUMENTS[:, :length]
        shown = mask.bool()
        torch.testing.assert_close(compiled(ids), fresh(ids))
        torch.testing.assert_close(compiled(ids, mask), fresh(ids, mask))
        torch.testing.assert_close(hidden(ids, mask)[shown], fresh.hidden(ids, mask)[shown])
        torch.testing.assert_close(
            hidden(ids, mask, documents)[shown], fresh.hidden(ids, mask, documents)[shown]
        )


@pytest.mark.usefixtures("_compiler_forgets")
def test_a_compiled_layer_takes_packed_rows_and_checkpoints(fresh: MaskPredictor) -> None:
    """How to compile for training: layer by layer, while segments are found outside the graph."""
    expected, _ = gradients(fresh, MASK)
    for block in fresh.model.transformer.blocks:
        block.compile(backend="aot_eager")
    fresh.checkpoint_activations = True
    found, _ = gradients(fresh, MASK)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-4)
