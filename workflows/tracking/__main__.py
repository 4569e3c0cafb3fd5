"""The mirror as a process: `python -m workflows.tracking STORE [--run RUN]`, started by a run."""

import argparse
import os
import sys
import time

from pipelines.storage import store_root
from workflows.tracking.drain import follow
from workflows.tracking.process import EXIT_CODES


def main() -> int:
    """Mirror the store's runs at low priority until none of them lives; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workflows.tracking", description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--run", help="mirror this run before all others")
    chosen = parser.parse_args()
    os.nice(10)
    return EXIT_CODES[follow(store_root(chosen.store), chosen.run, _log)]


def _log(line: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
