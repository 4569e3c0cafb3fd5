"""Whether the filter stage costs the same a document, and no more memory, however large its input.

    python benchmarks/filter_scale.py FILE.parquet ... [--sizes 10MB,100MB] [--cores 2]

Repeats the column `text` of the files, each time under new ids, until an input is as large as
asked, in units of 8 MB as the extract stage writes them. Processes then filter units as the workers
of a stage do (the whole FineWeb chain, language first) and tell their CPU time and the most memory
they ever held. Wall-clock ratios mean something on a quiet machine only: the load is printed.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipelines import schemas
from pipelines.documents import Desk
from pipelines.filter import FilterConfig, FilterWorker

UNIT = 8 << 20
RULES = ("gopher_repetition", "gopher", "c4_fineweb", "fineweb")
SIZES = {"MB": 10**6, "GB": 10**9}


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("files", nargs="+", type=Path)
    arguments.add_argument("--sizes", default="10MB,100MB")
    arguments.add_argument("--cores", type=int, default=2)
    arguments.add_argument("--worker", nargs=2, type=int, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.worker:
        work(options.files[0], *options.worker)
        return
    print(f"load {os.getloadavg()[0]:.1f}; one core, then {options.cores}")
    print(f"{'input':>8}{'documents':>11}{'ms/doc':>8}{'MB/s':>7}{'peak MB':>9}{'wall ratio':>12}")
    for size in options.sizes.split(","):
        measure(options.files, size, options.cores)


def measure(files: list[Path], size: str, cores: int) -> None:
    """Print the line of one size."""
    wanted = int(size[:-2]) * SIZES[size[-2:]]
    folder = Path(tempfile.mkdtemp(prefix="filter-scale-"))
    try:
        documents = write_units(files, wanted, folder)
        alone = run(folder, 1)
        together = run(folder, cores)
        cpu = sum(float(one["cpu"]) for one in alone["workers"])
        peak = max(float(one["peak"]) for one in alone["workers"])
        ratio = alone["wall"] / together["wall"]
        print(
            f"{size:>8}{documents:>11,}{1000 * cpu / documents:>8.2f}{wanted / 1e6 / cpu:>7.1f}"
            f"{peak / 1e6:>9.0f}{ratio:>11.2f}x",
            flush=True,
        )
    finally:
        shutil.rmtree(folder)


def write_units(files: list[Path], wanted: int, folder: Path) -> int:
    """Write documents in units until there is enough; return how many."""
    rows: list[dict[str, str]] = []
    held = written = documents = units = 0
    for number, text in enumerate(repeated(files)):
        rows.append({"doc_id": f"{number:032x}", "text": text})
        held += len(text.encode())
        if held >= UNIT or written + held >= wanted:
            table = pa.Table.from_pylist(rows, schema=schemas.DOCUMENT)
            pq.write_table(table, folder / f"{units:06d}.parquet", compression="zstd")
            documents, written, units = documents + len(rows), written + held, units + 1
            rows, held = [], 0
        if written >= wanted:
            return documents
    raise AssertionError("the texts repeat without end")


def repeated(files: list[Path]) -> Iterator[str]:
    texts = [
        text for file in files for text in pq.read_table(file, columns=["text"])["text"].to_pylist()
    ]
    return itertools.cycle(texts)


def run(folder: Path, processes: int) -> dict[str, object]:
    """Filter all units with so many processes; wall time runs from when the last one is ready."""
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), "--worker", str(number), str(processes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(processes)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    begin = time.monotonic()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    told = [json.loads(worker.communicate()[0]) for worker in workers]
    return {"wall": time.monotonic() - begin, "workers": told}


def work(folder: Path, number: int, processes: int) -> None:
    """Filter every so manieth unit, each shard thrown away once it is written."""
    config = FilterConfig(rules=RULES, languages=("en",))
    units = sorted(folder.glob("*.parquet"))[number::processes]
    with tempfile.TemporaryDirectory() as out:
        root = Path(out)
        worker = FilterWorker(Desk(root, "bench", "clean"), config)
        worker({"shard": "warm", "path": str(first_rows(units[0] if units else None, root))})
        print("ready", flush=True)
        sys.stdin.readline()
        begin = time.process_time()
        for at, unit in enumerate(units):
            record = worker({"shard": f"{at:05d}", "path": str(unit)})
            for entry in record.files:
                (root / entry.path).unlink()
        cpu = time.process_time() - begin
    print(json.dumps({"cpu": cpu, "peak": peak_bytes()}), flush=True)


def peak_bytes() -> int:
    """Return the most memory this process ever held; ru_maxrss may be that of whoever forked it."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def first_rows(unit: Path | None, root: Path) -> Path:
    """Write a few documents, so that kernels and models are loaded before the clock starts."""
    path = root / "warm.parquet"
    table = pq.read_table(unit).slice(0, 5) if unit else schemas.DOCUMENT.empty_table()
    pq.write_table(table, path)
    return path


if __name__ == "__main__":
    main()
