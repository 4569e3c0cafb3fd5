"""The host's copy of a training state: the state of then, in the same memory every time."""

import pytest
import torch
from torch import Tensor

from llada.training.host_copy import HostCopy
from llada.training.state_files import PARTS, Fragment


def fragments(device: str, *sizes: int) -> list[Fragment]:
    def part(number: int, size: int) -> Tensor:
        return torch.arange(size, dtype=torch.float32, device=device) + 100 * number

    return [
        Fragment(f"w{n}", (size,), 0, {name: part(i, size) for i, name in enumerate(PARTS)})
        for n, size in enumerate(sizes)
    ]


def check(device: str) -> list[Tensor]:
    host, state = HostCopy(), fragments(device, 3, 0, 5)
    first = host.take(iter(state))
    assert [copy.name for copy in first] == ["w0", "w1", "w2"]
    for original, copy in zip(state, first, strict=True):
        for name in PARTS:
            assert torch.equal(copy.parts[name], original.parts[name].cpu())
    state[2].parts["master"].fill_(-1)  # training goes on
    assert first[2].parts["master"].tolist() == [0, 1, 2, 3, 4]
    second = host.take(state)
    assert second[2].parts["master"].tolist() == [-1] * 5
    where = [[c.parts["exp_avg"].data_ptr() for c in copies] for copies in (first, second)]
    assert where[0] == where[1]
    return [part for copy in second for part in copy.parts.values() if part.numel()]


def test_a_copy_is_the_state_of_then_in_the_memory_of_the_one_before() -> None:
    check("cpu")


def test_another_cut_takes_memory_of_its_own() -> None:
    host = HostCopy()
    host.take(fragments("cpu", 3))
    (copy,) = host.take(fragments("cpu", 4))
    assert copy.parts["exp_avg_sq"].tolist() == [200, 201, 202, 203]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_writes_into_locked_pages_which_are_given_back() -> None:
    parts = check("cuda")  # its owner is gone
    assert not any(part.is_pinned() for part in parts)
    host = HostCopy()
    copies = host.take(fragments("cuda", 1000))
    assert all(part.is_pinned() for part in copies[0].parts.values())
