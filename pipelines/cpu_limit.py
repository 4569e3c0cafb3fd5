"""A limit on the processor time of one piece of work: the last resort against parsers that hang.

The passes of this project are linear in the length of a text; libraries that read what strangers
wrote need not be. The kernel ends a process that goes on for too long (ITIMER_PROF counts what
all of its threads take, so neither a busy machine nor one that slept counts), whatever code it is
in, and the death is looked into like any other (`pipelines.deaths`). It is far from what a document
takes, so that it says the same of it on every machine.
"""

import signal

SECONDS = 20.0
BYTES_A_SECOND = 200_000
"""What is allowed beside SECONDS: a twentieth of the speed of the slowest pass."""
SIGNAL = signal.SIGPROF

_expendable = False


def expend() -> None:
    """Say that this process may be ended: another goes on, and knows what it died of."""
    global _expendable
    _expendable = True


def begin(size: int, seconds: float = SECONDS) -> None:
    """Allow `seconds` from now, and more for `size` bytes; in other processes nothing happens."""
    if _expendable:
        signal.setitimer(signal.ITIMER_PROF, seconds + size / BYTES_A_SECOND)


def end() -> None:
    """Take the limit away."""
    if _expendable:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
