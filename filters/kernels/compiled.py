"""Compile kernels with numba, cached on disk in a folder named after the sources of all kernels.

numba's own cache notices a change in the file of a function only, not in the functions it calls
from other files: it would go on serving the old ones.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import config as numba_config

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


@contextmanager
def _cache_folder() -> Iterator[None]:
    folder = Path(__file__).parent
    sources = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        sources.update(path.read_bytes())
    config: Any = numba_config  # settable at run time, as numba documents; stubs lack it
    chosen = config.CACHE_DIR
    root = Path(chosen) if chosen else folder / "__pycache__"
    config.CACHE_DIR = str(root / f"kernels-{sources.hexdigest()[:12]}")
    try:
        yield
    finally:
        config.CACHE_DIR = chosen


def compiled(function: Kernel) -> Kernel:
    """Compile on first call; kept in __pycache__, else in numba's user-wide cache, else nowhere."""
    with _cache_folder():
        try:
            kernel: Any = numba.njit(cache=True, nogil=True)(function)
        except RuntimeError:  # numba's "no locator available": no folder can be written
            kernel = numba.njit(nogil=True)(function)
    return cast(Kernel, kernel)


@compiled
def integer(value: Any) -> int:
    """Return a number as a signed 64-bit integer: numba turns int64 with uint64 into float64."""
    return np.int64(value)  # type: ignore[return-value]
