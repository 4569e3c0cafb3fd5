"""The doctor on the machine: memory, processors, limits, graphics, and what hangs a compile."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from workflows import environment
from workflows.store.findings import Finding, Patient, gigabytes

_CGROUPS = Path("/sys/fs/cgroup")
_OLD_LOCK = 600.0


def memory(_: Patient) -> Iterator[Finding]:
    """Whether there is memory to work with, by the container's limit as well as the host's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit(_CGROUPS)
    usable = min(total, limit or total)
    found = f"{gigabytes(usable)} usable"
    if limit is not None and limit < total:
        found += f" (this container's limit; the host has {gigabytes(total)})"
    if usable < 4e9:
        yield Finding("warn", "memory", found, "set resources.workers to 1, or raise the limit")
    else:
        yield Finding("ok", "memory", found)


def memory_limit(cgroups: Path) -> int | None:
    """Return the memory limit of this control group (version 2 or 1), None where there is none."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (cgroups / name).read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdigit() and int(text) < 1 << 60 else None
    return None


def shared_memory(_: Patient) -> Iterator[Finding]:
    """Whether Ray's object store fits into /dev/shm."""
    try:
        usage = shutil.disk_usage("/dev/shm")
    except OSError:
        yield Finding("warn", "shared memory", "no /dev/shm: Ray's object store goes to disk",
                      "mount one: docker run --shm-size=8g")  # fmt: skip
        return
    found = f"{gigabytes(usage.free)} of {gigabytes(usage.total)} free in /dev/shm"
    if usage.free < 1e9:
        yield Finding("warn", "shared memory", found, "docker run --shm-size=8g, or free it")
    else:
        yield Finding("ok", "shared memory", found)


def processors(_: Patient) -> Iterator[Finding]:
    """How many processors this process may use, by affinity and by the container's quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = processor_quota(_CGROUPS)
    found = f"{usable} usable of {os.cpu_count()}"
    if quota is not None and usable is not None and quota < usable:
        remedy = f"raise the container's limit (docker run --cpus={usable}), or set resources"
        yield Finding("warn", "cpu", f"{found}, but the quota is {quota:.1f}", remedy)
    else:
        yield Finding("ok", "cpu", found)


def processor_quota(cgroups: Path) -> float | None:
    """Return how many processors' time this control group may use, None for no limit."""
    try:
        quota, period = (cgroups / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return int(quota) / int(period) if quota.isdigit() else None


def open_files(_: Patient) -> Iterator[Finding]:
    """Whether Ray may open as many files as it likes to."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = "unlimited" if soft == resource.RLIM_INFINITY else f"at most {soft:,}"
    if soft != resource.RLIM_INFINITY and soft < 4096:
        yield Finding("warn", "open files", found, "ulimit -n 65536")
    else:
        yield Finding("ok", "open files", found)


def text_encoding(_: Patient) -> Iterator[Finding]:
    """Whether names and output are UTF-8."""
    found = {sys.getfilesystemencoding().lower(), (sys.stdout.encoding or "utf-8").lower()}
    if found == {"utf-8"}:
        yield Finding("ok", "locale", "UTF-8")
    else:
        yield Finding("warn", "locale", ", ".join(sorted(found)), "export PYTHONUTF8=1")


def graphics(_: Patient) -> Iterator[Finding]:
    """Which GPUs the driver shows, and whether the installed torch can use them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        yield Finding("ok", "gpu", "none; training runs on the processors")
        return
    try:
        asked = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=2.5, check=True)
    except (OSError, subprocess.SubprocessError):
        yield Finding("warn", "gpu", "nvidia-smi does not answer", "nvidia-smi, and read its error")
        return
    names = "; ".join(line.strip() for line in done.stdout.splitlines())
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = ""
    if torch.endswith("+cpu"):
        remedy = "python -m pip install --force-reinstall torch from the CUDA index"
        yield Finding("warn", "gpu", f"{names}, but torch {torch} cannot use it", remedy)
    else:
        yield Finding("ok", "gpu", names or "none; training runs on the processors")


def compile_locks(_: Patient) -> Iterator[Finding]:
    """Whether a killed compile left a lock, on which DeepSpeed would wait for ever."""
    named = os.environ.get("TORCH_EXTENSIONS_DIR")
    root = Path(named) if named else Path.home() / ".cache" / "torch_extensions"
    stale = [
        lock for lock in root.glob("**/lock") if time.time() - lock.stat().st_mtime > _OLD_LOCK
    ]
    for lock in stale:
        yield Finding("FAIL", "jit locks", f"{lock} is left from a killed compile", f"rm {lock}")
    if not stale:
        yield Finding("ok", "jit locks", "none left from a killed compile")


def checkout(_: Patient) -> Iterator[Finding]:
    """Whether artifacts can name the commit that made them."""
    commit = environment.commit()
    if commit is None:
        yield Finding("warn", "code", "not a git checkout: manifests will name no commit",
                      "git clone the project instead of copying its files")  # fmt: skip
    elif environment.dirty_diff():
        found = f"{commit[:12]} with uncommitted changes: manifests will hold their hash only"
        yield Finding("warn", "code", found, "git commit")
    else:
        yield Finding("ok", "code", commit[:12])
