"""A copy of the training state in host memory: all that training waits for at a checkpoint.

The memory is taken once and stays. Fresh pages cost more than the copy itself, and a GPU writes at
full speed only into pages that are locked: 18 GB took 14 s without either.
"""

import logging
import weakref
from collections.abc import Iterable

import torch
from torch import Tensor

from llada.training.state_files import Fragment

logger = logging.getLogger(__name__)


class HostCopy:
    """Buffers for what one rank owns; they hold one copy at a time."""

    def __init__(self) -> None:
        """Take no memory yet."""
        self._buffer = torch.empty(0)

    def take(self, fragments: Iterable[Fragment]) -> list[Fragment]:
        """Copy every part of every fragment; return the same fragments over the copies.

        Overwrites the copy before: whoever reads that one must have finished.
        """
        found = list(fragments)
        needed = sum(part.numel() for fragment in found for part in fragment.parts.values())
        devices = {part.device for fragment in found for part in fragment.parts.values()}
        on_gpu = any(device.type == "cuda" for device in devices)
        if needed != self._buffer.numel():
            self._buffer = torch.zeros(needed)  # zeros, since it is the first touch that takes it
            if on_gpu:
                _lock_pages(self, self._buffer)
        copies, start = [], 0
        for fragment in found:
            parts = {}
            for name, part in fragment.parts.items():
                parts[name] = self._buffer[start : start + part.numel()]
                parts[name].copy_(part, non_blocking=True)
                start += part.numel()
            copies.append(fragment._replace(parts=parts))
        for device in devices:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        return copies


def _lock_pages(owner: HostCopy, buffer: Tensor) -> None:
    """Lock a buffer's pages until its owner is gone; where that is refused, copies are slower.

    Registered, not allocated as pinned memory: that allocator rounds up to a power of two.
    """
    runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    error = runtime.cudaHostRegister(buffer.data_ptr(), buffer.nbytes, 0)
    if int(error) != 0:
        logger.warning(
            "%.1f GB of host memory for checkpoints could not be locked (CUDA error %d): training "
            "waits longer at each one; allow more locked memory (ulimit -l)",
            buffer.nbytes / 1e9,
            int(error),
        )
        return
    # The buffer among the arguments outlives its owner until its pages are given back.
    weakref.finalize(owner, _unlock_pages, buffer)


def _unlock_pages(buffer: Tensor) -> None:
    torch.cuda.cudart().cudaHostUnregister(buffer.data_ptr())  # type: ignore[no-untyped-call]
