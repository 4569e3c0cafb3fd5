"""A process beside a run that watches Ray's node, and says so when the node ends under the run.

Ray ends its driver within milliseconds of the node and without a word; a thread of that driver
comes too late on a busy machine. Run as a file with the process id of the node; standard input is
the run's: a byte there means that the run ends the node itself, its end that the run is over.
"""

import os
import select
import sys

LOST = (
    "\nRay's node on this machine ended (killed, or out of memory), and this run with it. "
    "Run the same command again: finished stages and shards are kept.\n"
)


def ends_unexpected(node: int, run: int) -> bool:
    """Wait for the end of the process `node` or for the pipe `run`; was it the node, unasked?"""
    try:
        waited = [os.pidfd_open(node), run]
        ready = select.select(waited, [], [])[0]
    except ProcessLookupError:  # it ended before this process had started
        ready = [node, *select.select([run], [], [], 0)[0]]
    if run not in ready:
        return True
    return not os.read(run, 1) and len(ready) > 1


if __name__ == "__main__" and ends_unexpected(int(sys.argv[1]), 0):
    os.write(2, LOST.encode())
