"""What this machine has to give to workers, and which workers can never start on it."""

import os
from pathlib import Path

from pipelines.workspace import Capacity, Resources

SPARE_CPUS = 2
"""Logical CPUs that Ray is told of beside the real ones: Ray Data hangs without a word when its
actors leave less than one CPU to its own read and write tasks."""


def capacity() -> Capacity:
    """Return what there is: CPUs of this process, memory in GB, GPUs that it may see."""
    return Capacity(cpus=len(os.sched_getaffinity(0)), memory_gb=memory_gb(), gpus=_gpus())


def memory_gb() -> float:
    """Return the physical memory in GB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _gpus() -> int:
    there = len(list(Path("/dev").glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return there
    return min(there, len([one for one in visible.split(",") if one.strip() not in ("", "-1")]))


def lacking(resources: Resources, *, together: bool) -> str | None:
    """Return what workers ask for that is not here: Ray would wait for it for ever, without a word.

    Args:
        resources: What each of them asks for.
        together: Whether all must run at once (a training), or one after another would do.

    Returns:
        "2 GPUs, and this machine has 0", None where they can start.
    """
    here = capacity()
    count = resources.workers if together else 1
    asked = {
        "CPUs": (count * resources.cpus_per_worker, here.cpus + SPARE_CPUS, here.cpus),
        "GB of memory": (count * resources.memory_gb_per_worker, here.memory_gb, here.memory_gb),
        "GPUs": (count * resources.gpus_per_worker, here.gpus, here.gpus),
    }
    for unit, (wanted, most, there) in asked.items():
        if wanted > most:
            return f"{wanted:,.4g} {unit}, and this machine has {there:,.4g}"
    return None
