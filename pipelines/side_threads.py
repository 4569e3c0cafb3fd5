"""Work in threads beside the main one, counted, so that nothing is torn down under it.

A run that is cancelled does not wait for a unit that hangs: its thread may be anywhere, inside Ray
or inside a compiled kernel. Shutting Ray down or ending the interpreter under such a thread can
crash the process. So who tears down asks first, and who ends the process leaves without either.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

_lock = threading.Lock()
_started: list[threading.Thread] = []


def start(work: Callable[[], None], name: str) -> None:
    """Call `work` in a daemon thread of that name."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    with _lock:
        _started[:] = [other for other in _started if other.is_alive()]
        _started.append(thread)
        thread.start()


def have_ended(within: float = 0.0) -> bool:
    """Wait up to `within` seconds; return whether none is at work any more."""
    deadline = time.monotonic() + within
    with _lock:
        threads = list(_started)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def leave(code: int) -> NoReturn:
    """End this process, without tearing anything down where such a thread is still at work.

    The kernel ends what Ray started here with it (see `ray_node`); a cluster notices.
    """
    if have_ended():
        sys.exit(code)
    leave_at_once(code)


def leave_at_once(code: int) -> NoReturn:
    """End this process as it stands, once what it said is written out."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
