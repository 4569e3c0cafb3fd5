"""What to change when memory runs out: the settings that decide it, with their present values."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from llada.training.config import TrainingConfig
from llada.training.errors import TrainingError

_OF_THE_HOST = "can't allocate memory"  # a plain RuntimeError, unlike the accelerator's


@contextmanager
def named(training: TrainingConfig, workers: int) -> Iterator[None]:
    """Turn a failed allocation in the block into advice.

    Raises:
        TrainingError: memory ran out; it names every setting that would need less.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and _OF_THE_HOST not in str(error):
            raise
        asked = str(error).splitlines()[0]
        raise TrainingError(f"out of memory: {asked}\n{advice(training, workers)}") from error


def advice(training: TrainingConfig, workers: int) -> str:
    """Return one sentence that lists what would need less memory, the cheapest first."""
    ways = []
    if training.micro_batch_size > 1:
        ways.append(
            f"micro_batch_size {training.micro_batch_size} -> {training.micro_batch_size // 2} "
            "(same curve: more accumulation)"
        )
    if not training.activation_checkpointing:
        ways.append("activation_checkpointing false -> true (about a third more computing)")
    if training.precision == "fp32":
        ways.append("precision fp32 -> bf16")
    if training.zero_stage < 3 and workers > 1:
        ways.append(f"zero_stage {training.zero_stage} -> {training.zero_stage + 1}")
    if not training.offload_optimizer and torch.cuda.is_available():
        ways.append("offload_optimizer false -> true (slower updates)")
    ways.append(f"more than {workers} workers, a shorter sequence, or a smaller model")
    return "To need less memory change one of: " + "; ".join(ways) + "."
