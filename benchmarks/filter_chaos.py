"""Chaos for the command users type: `llada filter`, killed at random moments until it is done.

    python -m benchmarks.filter_chaos FILE.parquet ... [--size 100MB] [--kills 8] [--seed 0]

Repeats the column `text` of the files until there is as much as asked. The command runs once
undisturbed, then in a fresh store again and again with a kill each (the driver, a worker, Ray's
node or everything, from the seed) until it is done. It fails unless the results hold the
undisturbed digests, nothing is missing, and a kill cost no more units than there are workers.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.chaos import WORKERS, Job, at_a_moment, carry_out
from benchmarks.filter_scale import RULES
from benchmarks.repeated_texts import bytes_of, write_units

UNIT = 6_000_000
"""Bytes of text in a file: less than a unit of the extract stage, so that it is one unit."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--size", default="100MB")
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="kept; default: a temporary one")
    chosen = parser.parse_args()
    job = filter_job(chosen.files, bytes_of(chosen.size))
    seed = chosen.seed
    kills = [at_a_moment(seed, random.Random(f"{seed}-{n}")) for n in range(2 * chosen.kills)]
    return carry_out(job, kills, chosen.kills, chosen.folder)


def filter_job(files: Sequence[Path], wanted: int) -> Job:
    """Return the job that filters so much text by the whole FineWeb chain."""

    def write(folder: Path) -> None:
        for unit in write_units(files, wanted, folder, UNIT):
            with unit.with_suffix(".jsonl").open("w") as lines:
                for text in pq.read_table(unit, columns=["text"])["text"].to_pylist():
                    lines.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            unit.unlink()

    arguments = (
        "filter", "../data", "--out", "store", "--rules", ",".join(RULES),
        "--languages", "en", "--workers", str(WORKERS),
    )  # fmt: skip
    return Job(arguments, write)


if __name__ == "__main__":
    sys.exit(main())
