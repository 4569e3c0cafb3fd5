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
def shallow(config: ModelConfig) -> MaskPredictor:
    """One layer: a graph that is quick to trace."""
    rng = torch.Generator().manual_seed(0)
    return MaskPredictor(config.model_copy(update={"n_layers": 1}), rng=rng)


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


@pytest.mark.slow
@pytest.mark.usefixtures("_compiler_forgets")
@pytest.mark.parametrize(("backend", "dynamic"), [("aot_eager", False), ("eager", True)])
def test_the_model_is_one_graph(shallow: MaskPredictor, backend: str, dynamic: bool) -> None:
    compiled = torch.compile(shallow, backend=backend, fullgraph=True, dynamic=dynamic)
    hidden = torch.compile(shallow.hidden, backend=backend, fullgraph=True, dynamic=dynamic)
    torch.testing.assert_close(compiled(IDS), shallow(IDS))
    for length in (7, 5) if dynamic else (7,):
        ids, mask, documents = IDS[:, :length], MASK[:, :length], DOCUMENTS[:, :length]
        found, expected = (h(ids, mask, documents) for h in (hidden, shallow.hidden))
        torch.testing.assert_close(found[mask.bool()], expected[mask.bool()])


@pytest.mark.usefixtures("_compiler_forgets")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler's own look
def test_a_compiled_layer_takes_packed_rows_and_checkpoints(shallow: MaskPredictor) -> None:
    """How to compile for training: layer by layer, while segments are found outside the graph."""
    expected, _ = gradients(shallow, MASK)
    for block in shallow.model.transformer.blocks:
        block.compile(backend="aot_eager")
    shallow.checkpoint_activations = True
    found, _ = gradients(shallow, MASK)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-4)
