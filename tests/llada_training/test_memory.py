"""The count of bytes against what autograd saves, and against the ZeRO paper's own example."""

import pytest
import torch

from llada.config import ModelConfig
from llada.diffusion import CHUNK_ROWS as REAL_CHUNK_ROWS
from llada.head_loss import weighted_cross_entropy
from llada.model import MaskPredictor
from llada.training.memory import CHUNK_ROWS, Setting, activations, logits, memory_per_gpu

LENGTH = 64
MODEL = ModelConfig(
    d_model=64,
    n_layers=4,
    n_heads=4,
    n_kv_heads=4,
    ffn_hidden=192,
    vocab_size=50,
    max_sequence_length=LENGTH,
    mask_token_id=4,
    eos_token_id=1,
)


def saved_bytes(model: MaskPredictor, ids: torch.Tensor) -> int:
    """Return the bytes of distinct storages that wait for the backward pass, weights left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, tuple[torch.Tensor, int]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (tensor, storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = model.hidden(ids)
    assert hidden.requires_grad
    return sum(size for _, size in kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_activations_are_what_autograd_saves(precision: str) -> None:
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    model = MaskPredictor(MODEL, rng=torch.Generator().manual_seed(0)).to(dtype)
    ids = torch.randint(0, 50, (8, LENGTH), generator=torch.Generator().manual_seed(1))
    setting = Setting(1, 8, 1, "fp32" if precision == "fp32" else "bf16")
    counted = activations(MODEL, setting, LENGTH)
    assert saved_bytes(model, ids) == pytest.approx(counted, rel=0.10)


def test_the_chunk_is_that_of_the_loss() -> None:
    assert CHUNK_ROWS == REAL_CHUNK_ROWS


def test_state_is_divided_as_in_the_zero_paper() -> None:
    # arXiv 1910.02054, figure 1: 7.5 B weights on 64 GPUs take 31.4, 16.6 and 1.88 GB.
    model = ModelConfig.preset("arm-7b")
    size = model.parameter_count() / 7.5e9
    for stage, expected in ((1, 31.4), (2, 16.6), (3, 1.88)):
        memory = memory_per_gpu(model, Setting(64, 1, stage), 4096)  # type: ignore[arg-type]
        state = memory.weights + memory.gradients + memory.optimizer
        assert state / size / 1e9 == pytest.approx(expected, rel=0.005)


def test_offloading_takes_the_optimizer_off_the_gpu() -> None:
    model, setting = ModelConfig.preset("llada-1b"), Setting(8, 4, 1)
    there = memory_per_gpu(model, setting, 4096)
    gone = memory_per_gpu(model, setting._replace(offload_optimizer=True), 4096)
    assert there.total - gone.total == there.optimizer == 12 * model.parameter_count() / 8


def test_only_one_chunk_of_logits_is_alive() -> None:
    model, setting = ModelConfig.preset("llada-8b"), Setting(8, 4, 1)
    head = 126_464 * 4096 * 2
    assert logits(model, setting, 4096) == 1024 * 126_464 * 14 + head + 16_384 * 4096 * 2
    assert logits(model, setting, 100) == 400 * 126_464 * 14 + head + 400 * 4096 * 2


def test_gradients_of_the_head_are_taken_along_and_counted() -> None:
    """What the loss keeps for its backward pass is what `logits` counts beside a chunk."""
    model = MaskPredictor(MODEL, rng=torch.Generator().manual_seed(0))
    hidden = torch.randn(8 * LENGTH, MODEL.d_model, requires_grad=True)
    target, factor = torch.zeros(8 * LENGTH, dtype=torch.long), torch.ones(8 * LENGTH)
    kept = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss, _ = weighted_cross_entropy(hidden, model.head_weight, target, factor, CHUNK_ROWS)
    assert loss.requires_grad
    rows = 8 * LENGTH
    setting = Setting(1, 8, 1, "fp32")
    # The last product, factor times losses, keeps these: a number a row each.
    assert kept == logits(MODEL, setting, LENGTH) - rows * 50 * 16
