"""What a plan knows of hardware: memory and peak rate of the accelerators one trains on.

Dense bfloat16 rates without sparsity, as in the makers' data sheets; the doubled figures printed
beside them hold for matrices half of zeros, which no training has.
"""

from collections.abc import Mapping
from typing import NamedTuple

from llada.errors import LladaError


class Accelerator(NamedTuple):
    """One device: memory in bytes and dense bf16 FLOP/s.

    The GB of its name are taken as 10^9 bytes. Most devices report 5 to 7 % more, which is left to
    the CUDA context, NCCL and fragmentation.
    """

    memory: float
    peak: float
    source: str


_GB = 1e9

ACCELERATORS: Mapping[str, Accelerator] = {
    "a100-40g": Accelerator(40 * _GB, 312e12, "NVIDIA A100 data sheet"),
    "a100-80g": Accelerator(80 * _GB, 312e12, "NVIDIA A100 data sheet"),
    "a800-80g": Accelerator(80 * _GB, 312e12, "NVIDIA A800: an A100 with a slower NVLink"),
    "h100-80g": Accelerator(80 * _GB, 989e12, "NVIDIA H100 SXM data sheet, half of the sparse"),
    "h800-80g": Accelerator(80 * _GB, 989e12, "NVIDIA H800 SXM: an H100 with a slower NVLink"),
    "h200-141g": Accelerator(141 * _GB, 989e12, "NVIDIA H200 SXM data sheet, half of the sparse"),
    "b200-180g": Accelerator(180 * _GB, 2250e12, "NVIDIA B200 data sheet, half of the sparse"),
    "l40s-48g": Accelerator(48 * _GB, 362e12, "NVIDIA L40S data sheet, half of the sparse"),
}


def accelerator(name: str) -> Accelerator:
    """Return the named row of `ACCELERATORS`; raises LladaError naming those there are."""
    if name not in ACCELERATORS:
        raise LladaError(
            f"no accelerator named {name!r}; known are {', '.join(ACCELERATORS)}: choose the one "
            "you have, or add its memory and rate to llada/training/accelerators.py"
        )
    return ACCELERATORS[name]
