"""Where DeepSpeed keeps float32 weights and AdamW's moments: its attributes are read only here.

Stages 1 and 2 cut the concatenation of all parameters of an optimizer group, stage 3 cuts each
parameter; both keep one flat float32 tensor a group, and AdamW's state under it.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from llada.training.state_files import PARTS, Fragment

_MOMENTS = PARTS[1:]


def fragments(engine: Any) -> Iterator[Fragment]:
    """Yield what this rank owns, as views: writing into them changes the training state.

    AdamW's moments exist from the first update on; before it, zeros are put in their place.
    """
    find = _found_in_stage_3 if _is_stage_3(engine.optimizer) else _found_in_stage_1_or_2
    state = engine.optimizer.optimizer.state
    for name, parameter in engine.module.named_parameters():
        place = find(engine.optimizer, parameter)
        if place is None:
            continue
        flat, offset, start, numel, shape = place
        if not state[flat]:
            state[flat].update(_fresh(engine, flat))
        moments = {part: state[flat][part].narrow(0, offset, numel) for part in _MOMENTS}
        yield Fragment(name, shape, start, {"master": flat.data.narrow(0, offset, numel)} | moments)


def updates(engine: Any) -> int:
    """Return how often AdamW has updated the weights."""
    return max(
        (int(state["step"]) for state in engine.optimizer.optimizer.state.values()), default=0
    )


def adopt(engine: Any, count: int) -> None:
    """Let the forward pass use changed float32 weights, and AdamW count from here; collective."""
    zero = engine.optimizer
    for state in zero.optimizer.state.values():
        state["step"].fill_(count)
    if not _is_stage_3(zero):
        zero.update_lp_params()
        return
    zero.checkpoint_event_prologue()  # lets go of what every rank holds whole
    for group in range(len(zero.fp32_partitioned_groups_flat)):
        zero._reassign_or_swap_out_partitioned_parameters(group)
    zero.checkpoint_event_epilogue()


_Place = tuple[Tensor, int, int, int, tuple[int, ...]]
"""Flat tensor, offset in it, start within the parameter, length, shape of the parameter."""


def _found_in_stage_1_or_2(zero: Any, parameter: Any) -> _Place | None:
    mapping = parameter._hp_mapping
    if mapping is None:
        return None
    flat = zero.single_partition_of_fp32_groups[mapping.param_group_index]
    held, whole = mapping.hp_fragment_address, mapping.lp_fragment_address
    return flat, held.start, whole.start, held.numel, tuple(parameter.shape)


def _found_in_stage_3(zero: Any, parameter: Any) -> _Place | None:
    group, offset, padded = zero.grad_position[zero.get_param_id(parameter)]
    start = padded * torch.distributed.get_rank()
    numel = min(padded, parameter.ds_numel - start)
    if numel <= 0:
        return None
    flat = zero.fp32_partitioned_groups_flat[group]
    return flat, offset, start, numel, tuple(parameter.ds_shape)


def _fresh(engine: Any, flat: Tensor) -> dict[str, Tensor]:
    """Return AdamW's state before any update; a fused one counts where its tensors lie."""
    fused = engine.optimizer.optimizer.param_groups[0].get("fused")
    step = torch.zeros((), dtype=torch.float32, device=flat.device if fused else "cpu")
    return {"step": step, **{part: torch.zeros_like(flat) for part in _MOMENTS}}


def _is_stage_3(zero: Any) -> bool:
    return hasattr(zero, "fp32_partitioned_groups_flat")
