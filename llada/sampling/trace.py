"""Watching a generation: what every step fixed, for streaming, and its whole course, to show it.

Shapes: B batch, T prompt plus answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Step:
    """The canvas right after one step; the tensors are copies, the watcher's to keep."""

    step: int  # of the whole generation, from 0
    steps: int  # planned; parallel decoding and early exit may need fewer
    block: int  # from 0
    blocks: int
    ids_BT: Tensor
    committed_BT: Tensor  # True where this step fixed a token
    # The probability of the fixed tokens, before temperature and noise; 0 elsewhere. float32.
    confidence_BT: Tensor
    forward_passes: int  # so far; guidance takes two a step


OnStep = Callable[[Step], None]


class Trace:
    """Pass one as `on_step`: it keeps when, and how surely, every position was fixed."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.steps: list[Step] = []

    def __call__(self, step: Step) -> None:
        """Keep a step, on the CPU: a long generation must not fill the accelerator."""
        self.steps.append(
            Step(
                step.step,
                step.steps,
                step.block,
                step.blocks,
                step.ids_BT.cpu(),
                step.committed_BT.cpu(),
                step.confidence_BT.cpu(),
                step.forward_passes,
            )
        )

    @property
    def frames(self) -> list[Tensor]:
        """Return ids_BT after each step: masks are still in all but the last."""
        return [step.ids_BT for step in self.steps]

    @property
    def step_BT(self) -> Tensor:  # noqa: N802  (wears its shape)
        """Return the step that fixed each position; -1 where none did: prompt, or early exit."""
        fixed_BT = torch.full_like(self._seen()[0].ids_BT, -1)
        for step in self.steps:
            fixed_BT = fixed_BT.masked_fill(step.committed_BT, step.step)
        return fixed_BT

    @property
    def confidence_BT(self) -> Tensor:  # noqa: N802  (wears its shape)
        """Return the probability each token had when it was fixed; 0 where no step fixed one."""
        return torch.stack([step.confidence_BT for step in self._seen()]).sum(0)

    def _seen(self) -> list[Step]:
        assert self.steps, "pass the trace as on_step of a generation before reading it"
        return self.steps
