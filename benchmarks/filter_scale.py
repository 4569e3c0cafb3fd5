"""Whether the filter stage costs the same a document, and no more memory, however large its input.

    python -m benchmarks.filter_scale FILE.parquet ... [--sizes 10MB,100MB] [--processes 1,2]

Repeats the column `text` of the files until there is as much as the largest size, in units of 8 MB
as the extract stage writes them. Processes then filter the units in turn as the workers of a stage
do (the whole FineWeb chain, language first), and tell after each what it took and the most memory
they ever held: so one run has a line for every size. The start of a process (imports, models,
kernels) is told apart; `steady` is without it, `whole` with it. Wall-clock ratios mean something on
a quiet machine only: the load is printed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyarrow.parquet as pq

from benchmarks.repeated_texts import bytes_of, write_units
from pipelines import schemas
from pipelines.documents import Desk
from pipelines.filter import FilterConfig, FilterWorker

RULES = ("gopher_repetition", "gopher", "c4_fineweb", "fineweb")


class Done(NamedTuple):
    """What a process tells of a unit, times from when all processes were ready."""

    unit: int
    documents: int
    bytes: int
    wall: float
    cpu: float
    peak: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--sizes", default="10MB,100MB")
    parser.add_argument("--processes", default="1,2")
    parser.add_argument("--worker", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.files[0], *options.worker)
        return
    sizes = {size: bytes_of(size) for size in options.sizes.split(",")}
    with tempfile.TemporaryDirectory(prefix="filter-scale-") as scratch:
        units = write_units(options.files, max(sizes.values()), Path(scratch))
        print(f"{len(units)} units; load {os.getloadavg()[0]:.1f}")
        print(
            f"{'processes':>9}{'input':>8}{'documents':>11}{'start s':>9}{'whole MB/s':>12}"
            f"{'steady MB/s':>13}{'CPU us/doc':>12}{'peak MB':>9}{'ratio':>8}"
        )
        alone: dict[str, float] = {}
        for processes in map(int, options.processes.split(",")):
            start, done = run(Path(scratch), processes)
            for size, wanted in sizes.items():
                print(line(processes, size, start, first(done, wanted), alone), flush=True)


def first(done: list[Done], wanted: int) -> list[Done]:
    """Return the units that make up the first `wanted` bytes."""
    read = 0
    for number, unit in enumerate(done, start=1):
        read += unit.bytes
        if read >= wanted:
            return done[:number]
    return done


def line(processes: int, size: str, start: float, done: list[Done], alone: dict[str, float]) -> str:
    """Return what so much input took; `alone` keeps the rate of the first processes by size."""
    documents, read = sum(unit.documents for unit in done), sum(unit.bytes for unit in done) / 1e6
    wall = max(unit.wall for unit in done)
    steady = read / wall
    ratio = f"{steady / alone.setdefault(size, steady):.2f}x"
    cpu = 1e6 * sum(unit.cpu for unit in done) / documents
    peak = max(unit.peak for unit in done) / 1e6
    return (
        f"{processes:>9}{size:>8}{documents:>11,}{start:>9.1f}{read / (wall + start):>12.1f}"
        f"{steady:>13.1f}{cpu:>12.0f}{peak:>9.0f}{ratio:>8}"
    )


def run(folder: Path, processes: int) -> tuple[float, list[Done]]:
    """Filter all units with so many processes; return the seconds of the start, and each unit."""
    begin = time.monotonic()
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.filter_scale", str(folder), "--worker",
             str(number), str(processes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(processes)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    start = time.monotonic() - begin
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    told: list[Any] = [one for worker in workers for one in json.loads(worker.communicate()[0])]
    return start, sorted(Done(*one) for one in told)


def work(folder: Path, number: int, processes: int) -> None:
    """Filter every so manieth unit, each shard thrown away once it is written."""
    config = FilterConfig(rules=RULES, languages=("en",))
    done = []
    with tempfile.TemporaryDirectory() as out:
        root = Path(out)
        worker = FilterWorker(Desk(root, "bench", "clean"), config)
        units = sorted(folder.glob("*.parquet"))
        worker({"shard": "warm", "path": str(first_rows(units[0], root))})
        print("ready", flush=True)
        sys.stdin.readline()
        begin, spent = time.monotonic(), time.process_time()
        for at in range(number, len(units), processes):
            record = worker({"shard": f"{at:05d}", "path": str(units[at])})
            for entry in record.files:
                (root / entry.path).unlink()
            now, cpu = time.monotonic() - begin, time.process_time()
            entered = record.ledger.entered
            done.append(Done(at, entered.rows, entered.bytes, now, cpu - spent, peak_bytes()))
            spent = cpu
    print(json.dumps(done), flush=True)


def peak_bytes() -> int:
    """Return the most memory this process ever held; ru_maxrss may be that of whoever forked it."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def first_rows(unit: Path, root: Path) -> Path:
    """Write a few documents, so that kernels and models are loaded before the clock starts."""
    path = root / "warm.parquet"
    pq.write_table(pq.read_table(unit, schema=schemas.DOCUMENT).slice(0, 5), path)
    return path


if __name__ == "__main__":
    main()
