"""Dedup end to end with verification: speed beside datatrove, quality, cost by size, memory.

    python benchmarks/dedup.py FILE.parquet ... [--megabytes 20] [--peer-megabytes 4]
    python benchmarks/dedup.py FILE.parquet ... --quality [--documents 3000]
    python benchmarks/dedup.py --sizes 10000,100000,1000000 [--words 150]

Reads the column `text`. Speed is MB of UTF-8 a CPU second of one thread, files read and written.
The peer is datatrove's four MinHash stages with FineWeb's settings (5 words, 14 x 8) on the first
documents of the same text, where datatrove can be imported; it verifies nothing. `--sizes` makes
corpora with planted copies and shows CPU per document and the peak memory of driver and worker.
"""

import argparse
import gzip
import importlib.util
import itertools
import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ARROW_IO_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.brute_force import quality, truth
from pipelines import deduplicate, schemas
from pipelines.deduplicate import DedupConfig
from pipelines.executors import InProcess
from pipelines.shards import FileEntry, ShardFiles, ShardRecord
from pipelines.workspace import Executor, InputArtifact, Resources, StageOutput, Stop, Workspace

UNIT = 25_000
PLANTED_NEAR, PLANTED_EXACT = 10, 20
"""Every tenth document is a near copy, every twentieth an exact one."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("files", nargs="*", type=Path)
    arguments.add_argument("--megabytes", type=float, default=20)
    arguments.add_argument("--peer-megabytes", type=float, default=4)
    arguments.add_argument("--quality", action="store_true")
    arguments.add_argument("--documents", type=int, default=3000)
    arguments.add_argument("--sizes", default="")
    arguments.add_argument("--words", type=int, default=150)
    options = arguments.parse_args()
    pa.set_cpu_count(1)
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        if options.sizes:
            by_size(Path(folder), [int(size) for size in options.sizes.split(",")], options.words)
        elif options.quality:
            for number, file in enumerate(options.files):
                against_brute_force(Path(folder) / str(number), file, options.documents)
        else:
            beside_the_peer(Path(folder), options)


def beside_the_peer(folder: Path, options: argparse.Namespace) -> None:
    texts = pa.chunked_array(
        [column for file in options.files for column in read(file).chunks], pa.large_string()
    )
    order = np.random.default_rng(0).permutation(len(texts))  # every file has its share in a sample
    texts = texts.take(pa.array(order))
    run_stage(folder / "warm", store(folder / "warm", [first(texts, 0.05)]))
    ours, peers = first(texts, options.megabytes), first(texts, options.peer_megabytes)
    rates = {}
    for name, sample in (("whole", ours), ("sample", peers)):
        documents = store(folder / name, [sample])
        begin = time.process_time()
        output = run_stage(folder / name, documents)
        rates[name] = rate(
            f"ours, {name}", sample, time.process_time() - begin, output.ledger.kept.rows
        )
    if importlib.util.find_spec("datatrove") is None:
        print("peer: missing, datatrove cannot be imported: pip install 'datatrove[processing]'")
        return
    kept, seconds = datatrove(folder / "peer", peers)
    peer = rate("datatrove", peers, seconds, kept)
    print(f"ratio: {rates['whole'] / peer:.1f}x (on the same sample {rates['sample'] / peer:.1f}x)")


def datatrove(folder: Path, texts: pa.Array) -> tuple[int, float]:
    """Run the four stages in this process; return the documents kept and the CPU seconds."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    (folder / "in").mkdir(parents=True)
    ids = pa.array([str(at) for at in range(len(texts))])
    pq.write_table(pa.table({"id": ids, "text": texts}), folder / "in" / "0.parquet")
    # FineWeb's hash; the default, xxhash, is called with a string, which xxhash 4 refuses.
    config = MinhashConfig(hash_config=HashConfig(precision=64, hash_fc="sha1"))
    load_word_tokenizer("eng").word_tokenize("Loaded before the clock starts.")
    signatures, buckets, removed = (str(folder / name) for name in ("sig", "buckets", "removed"))
    stages: list[tuple[list[Any], int]] = [
        ([ParquetReader(str(folder / "in")), MinhashDedupSignature(signatures, config)], 1),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        ([MinhashDedupCluster(buckets, removed, config=config)], 1),
        (
            [
                ParquetReader(str(folder / "in")),
                MinhashDedupFilter(removed),
                JsonlWriter(str(folder / "out")),
            ],
            1,
        ),
    ]
    begin = time.process_time()
    for number, (steps, tasks) in enumerate(stages):
        logs = str(folder / f"logs{number}")
        LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir=logs).run()
    seconds = time.process_time() - begin
    kept = sum(
        len(gzip.decompress(path.read_bytes()).splitlines())
        for path in (folder / "out").glob("*.gz")
    )
    return kept, seconds


def against_brute_force(folder: Path, file: Path, documents: int) -> None:
    texts = read(file).combine_chunks()[:documents]
    output = run_stage(folder, store(folder, [texts]))
    copy_of = {
        int(row["doc_id"]): int(row["duplicate_of"])
        for entry in output.files
        if entry.role == "rejects"
        for row in pq.read_table(folder / "out" / entry.path).to_pylist()
    }
    family = DedupConfig().minhash()
    found = truth(texts, family, DedupConfig().threshold)
    measured = quality(texts, found, copy_of, family)
    compared, confirmed = output.metrics["pairs_compared"], output.metrics["pairs_confirmed"]
    print(
        f"{file.name}: {len(texts)} documents, {len(found.left)} pairs of 0.8 or more by brute "
        f"force, {len(copy_of)} removed: recall {measured.recall:.4f} (pairs "
        f"{measured.pair_recall:.4f}), precision {measured.precision:.4f}, similar to the very "
        f"one kept {measured.direct:.4f}; candidates confirmed {confirmed:.0f} of {compared:.0f}"
    )


def by_size(folder: Path, sizes: list[int], words: int) -> None:
    with OneWorker() as worker:
        warm = worker.call(planted, folder / "warm", 500, words)
        run_stage(folder / "warm", warm, worker)
        points: list[tuple[int, float]] = []
        for size in sizes:
            with OneWorker() as maker:  # its memory is not the stage's
                maker.call(planted, folder / str(size), size, words)
        for size in sizes:
            documents = artifact(folder / str(size))
            before, wall = cpu(worker), time.monotonic()
            output = run_stage(folder / str(size), documents, worker)
            seconds = cpu(worker) - before
            points.append((size, seconds))
            entered = output.ledger.entered
            near, exact = (
                output.ledger.dropped[f"duplicate_{kind}"].rows for kind in ("minhash", "exact")
            )
            found = near / (size // PLANTED_NEAR), exact / (size // PLANTED_EXACT)
            megabytes, waited = entered.bytes / 1e6, time.monotonic() - wall
            print(
                f"{size} documents, {megabytes:.0f} MB: {seconds:.1f} CPU s ({waited:.0f} s wall), "
                f"{seconds / size * 1e6:.0f} us a document, {megabytes / seconds:.1f} MB/s; "
                f"planted near copies found {found[0]:.4f}, exact {found[1]:.4f}; "
                f"peak memory: driver {peak():.0f} MB, worker {worker.call(peak):.0f} MB",
                flush=True,
            )
        for (small, a), (large, b) in itertools.pairwise(points):
            exponent = math.log(b / a) / math.log(large / small)
            print(f"{small} -> {large}: cost grows with exponent {exponent:.3f}")


def planted(folder: Path, size: int, words: int) -> InputArtifact:
    """Write made-up documents: every tenth a near copy (1 % of its words changed)."""
    rng = np.random.default_rng(size)
    vocabulary = np.array([f"w{number:x}ord" for number in range(50_000)], dtype=object)
    files: list[FileEntry] = []
    for begin in range(0, size, UNIT):
        count = min(UNIT, size - begin)
        table = rng.zipf(1.3, size=(count, words)) % len(vocabulary)
        originals = np.arange(count) - np.arange(count) % PLANTED_NEAR + 1
        near = np.arange(count) % PLANTED_NEAR == 0
        exact = np.arange(count) % PLANTED_EXACT == 5
        near &= originals < count
        table[near] = table[originals[near]]
        for row in np.flatnonzero(near):
            at = rng.integers(0, words, size=max(1, words // 100))
            table[row, at] = rng.integers(0, len(vocabulary), size=len(at))
        table[exact] = table[np.flatnonzero(exact) - 1]
        texts = pa.array([" ".join(row) for row in vocabulary[table]], pa.large_string())
        files += write(folder / "in", len(files), begin, texts)
    return artifact(folder)


class OneWorker(InProcess):
    """Runs units in one other process, so that driver and worker can be told apart."""

    def __enter__(self) -> "OneWorker":
        self._pool = ProcessPoolExecutor(1, get_context("spawn"))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._pool.submit(function, *arguments).result()

    def map_units(
        self,
        factory: Callable[[], Callable[[Any], ShardRecord]],
        units: list[dict[str, Any]],
        resources: Resources,
        finished: Callable[[ShardRecord], None],
        stop: Stop,
    ) -> list[ShardRecord]:
        records = [self.call(work, factory, unit) for unit in units]
        for record in records:
            finished(record)
        return records


def work(factory: Callable[[], Callable[[Any], ShardRecord]], unit: dict[str, Any]) -> ShardRecord:
    return factory()(unit)


def cpu(worker: OneWorker) -> float:
    return time.process_time() + float(worker.call(time.process_time))


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_stage(
    folder: Path, documents: InputArtifact, executor: Executor | None = None
) -> StageOutput:
    hands = executor or InProcess()
    workspace = Workspace(
        "unique", folder / "out", "bench", {"documents": documents}, Resources(), hands
    )
    return deduplicate.run(workspace, DedupConfig())


def store(folder: Path, units: list[pa.Array]) -> InputArtifact:
    for number, texts in enumerate(units):
        write(folder / "in", number, 0, texts)
    return artifact(folder)


def write(folder: Path, number: int, begin: int, texts: pa.Array) -> tuple[FileEntry, ...]:
    columns = {field.name: pa.nulls(len(texts), field.type) for field in schemas.DOCUMENT}
    columns["doc_id"] = pa.array([str(begin + at) for at in range(len(texts))])
    columns["text"] = texts
    files = ShardFiles(folder, f"{number:05d}", "bench")
    files.write_parquet(pa.table(columns), "data")
    listing = folder / "listing"
    with listing.open("a") as lines:
        lines.writelines(entry.model_dump_json() + "\n" for entry in files.entries)
    return files.entries


def artifact(folder: Path) -> InputArtifact:
    lines = (folder / "in" / "listing").read_text().splitlines()
    entries = tuple(FileEntry.model_validate_json(line) for line in lines)
    return InputArtifact("corpus", "filter", "0" * 64, folder / "in", entries)


def rate(name: str, texts: pa.Array, seconds: float, kept: int) -> float:
    megabytes = size_of(texts) / 1e6
    print(
        f"{name}: {megabytes / seconds:.2f} MB/s, {len(texts) / seconds:.0f} documents/s "
        f"({megabytes:.2f} MB, {len(texts)} documents, {kept} kept, {seconds:.2f} CPU s)"
    )
    return megabytes / seconds


def first(texts: pa.ChunkedArray, megabytes: float) -> pa.Array:
    sizes = np.cumsum(pa.compute.binary_length(texts).to_numpy())
    count = int(np.searchsorted(sizes, megabytes * 1e6)) + 1
    return texts[:count].combine_chunks()


def size_of(texts: pa.Array) -> int:
    return int(pa.compute.sum(pa.compute.binary_length(texts)).as_py())


def read(file: Path) -> pa.ChunkedArray:
    return pq.read_table(file, columns=["text"])["text"].cast(pa.large_string())


if __name__ == "__main__":
    main()
