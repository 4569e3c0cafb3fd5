"""What `llada filter` takes from the command to the report, with one worker and with more.

    python -m benchmarks.filter_job FILE.parquet ... [--size 300MB] [--workers 1,2] [--cores]

Repeats the column `text` of the files until there is as much as asked and runs the real command on
it, the whole FineWeb chain. Of each stage: the seconds the journal gives it; `start`, until its
first unit was done; `steady`, the rate from then to its last, by the times of the units' records.
Memory is the most that any Ray worker held, looked at twice a second. Ratios mean something on a
quiet machine only: the load is printed. With `--cores` a job of N workers has N CPU cores for all
of it, the driver and Ray included: from one core to two. Without, one worker has a core for itself
and the driver another; two share theirs with the driver.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.filter_scale import RULES
from benchmarks.repeated_texts import bytes_of, write_units
from pipelines.shards import ShardRecord
from workflows.artifact import all_artifacts

_LOOK = 0.5
STAGES = {"extract": "text", "filter": "clean"}
"""Kind of a stage -> its name in the recipe that the command writes."""


class Stage(NamedTuple):
    """What a stage of a job took."""

    seconds: float
    start: float
    """Seconds until the first unit was done."""
    steady: float
    """MB/s of text from then on."""


class Job(NamedTuple):
    """What a job took."""

    seconds: float
    peak: int
    stages: dict[str, Stage]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--size", default="300MB")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--cores", action="store_true", help="as many CPU cores as workers")
    options = parser.parse_args()
    size = bytes_of(options.size)
    all_cores, workers_of = os.sched_getaffinity(0), [int(n) for n in options.workers.split(",")]
    if options.cores and max(workers_of) > len(all_cores):
        parser.error(f"--workers {options.workers}: this process has {len(all_cores)} cores")
    with tempfile.TemporaryDirectory(prefix="filter-job-") as scratch:
        folder = Path(scratch)
        (folder / "in").mkdir()
        units = write_units(options.files, size, folder / "in")
        print(f"{options.size} of text in {len(units)} files; load {os.getloadavg()[0]:.1f}")
        print(f"{'workers':>7}{'job s':>8}{'MB/s':>7}{'peak MB':>9}", end="")
        for name in STAGES.values():
            print(f"{name:>9} s{'start s':>9}{'steady MB/s':>13}{'ratio':>7}", end="")
        first: Job | None = None
        for workers in workers_of:
            if options.cores:
                os.sched_setaffinity(0, sorted(all_cores)[:workers])  # the job inherits it
            job = run(folder, workers)
            first = first or job
            print(f"\n{workers:>7}{job.seconds:>8.1f}{size / 1e6 / job.seconds:>7.1f}", end="")
            print(f"{job.peak / 1e6:>9.0f}", end="")
            for name, stage in job.stages.items():
                ratio = f"{stage.steady / first.stages[name].steady:.2f}x"
                print(f"{stage.seconds:>11.1f}{stage.start:>9.1f}", end="")
                print(f"{stage.steady:>13.1f}{ratio:>7}", end="", flush=True)
        print()


def run(folder: Path, workers: int) -> Job:
    """Run the command once, into a store of its own."""
    out = folder / f"out-{workers}"
    began = time.time()
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workflows", "filter", str(folder / "in"), "--out", str(out),
             "--rules", ",".join(RULES), "--languages", "en", "--workers", str(workers)],
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        peak = 0
        while process.poll() is None:
            peak = max(peak, largest_worker(process.pid))
            time.sleep(_LOOK)
    if process.returncode:
        raise SystemExit((folder / "log.txt").read_text())
    return Job(time.time() - began, peak, stages(out))


def largest_worker(driver: int) -> int:
    """Return the bytes of memory of the largest of Ray's workers under a driver."""
    held = [0]
    with suppress(psutil.Error):
        for process in psutil.Process(driver).children(recursive=True):
            with suppress(psutil.Error):
                if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::"):
                    held.append(process.memory_info().rss)
    return max(held)


def stages(out: Path) -> dict[str, Stage]:
    """Return what the stages took that read text."""
    found = {}
    for artifact in all_artifacts(out):
        name = STAGES.get(artifact.manifest.kind)
        if name is None:
            continue
        records = sorted((Path(artifact.folder) / "_shards").glob("*.json"), key=_time)
        ends = [_time(path) for path in records]
        sizes = [_text_bytes(path) for path in records]
        created = datetime.fromisoformat(artifact.manifest.created).timestamp()
        started = created - artifact.manifest.seconds
        steady = sum(sizes[1:]) / 1e6 / max(ends[-1] - ends[0], 1e-9)
        found[name] = Stage(artifact.manifest.seconds, ends[0] - started, steady)
    return found


def _time(path: Path) -> float:
    return path.stat().st_mtime


def _text_bytes(record: Path) -> int:
    return ShardRecord.model_validate_json(record.read_bytes()).ledger.entered.bytes


if __name__ == "__main__":
    main()
