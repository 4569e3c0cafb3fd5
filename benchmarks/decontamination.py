"""How fast benchmark items are looked for, in MB/s of CPU time on one thread, beside datatrove.

    python benchmarks/decontamination.py ITEMS.jsonl[.gz] --fields query CORPUS.parquet ...
        [--megabytes 40] [--peer-megabytes 2]

Both get the same items as 13-grams and the same texts of the column `text`; the peer is datatrove's
NGramsDecontFilter, its index written from the same fields (its own indexer needs lighteval). It
stops at the first hit of a document; ours finds them all, with the item and the place.
"""

import argparse
import gzip
import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from filters.contamination import BenchmarkIndex, Item


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("items", type=Path)
    arguments.add_argument("corpus", nargs="+", type=Path)
    arguments.add_argument("--fields", nargs="+", required=True)
    arguments.add_argument("--megabytes", type=float, default=40)
    arguments.add_argument("--peer-megabytes", type=float, default=2)
    options = arguments.parse_args()
    fields = [field for record in read_items(options.items) for field in fields_of(record, options)]
    texts = [text for path in options.corpus for text in pq.read_table(path)["text"].to_pylist()]
    print(f"{len(fields)} fields; load {os.getloadavg()[0]:.1f}")
    rate = ours(fields, first(texts, options.megabytes))
    if importlib.util.find_spec("datatrove") is None:
        print("peer: missing, datatrove cannot be imported: pip install 'datatrove[processing]'")
        return
    print(f"ratio: {rate / datatrove(fields, first(texts, options.peer_megabytes)):.1f}x")


def read_items(path: Path) -> list[dict[str, str]]:
    content = path.read_bytes()
    lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode().split("\n")
    return [json.loads(line) for line in lines if line]


def fields_of(record: dict[str, str], options: argparse.Namespace) -> list[str]:
    return [record[name] for name in options.fields]


def first(texts: list[str], megabytes: float) -> list[str]:
    """Return texts from all over a corpus until there are so many megabytes."""
    total = sum(len(text.encode()) for text in texts)
    step = max(1, int(total / (megabytes * 1e6)))
    return texts[::step]


def ours(fields: list[str], texts: list[str]) -> float:
    started = time.process_time()
    index = BenchmarkIndex([Item("items", str(at), "text", text) for at, text in enumerate(fields)])
    column = pa.array(texts, pa.large_string())
    index.find(column[:50])  # the kernels compile or load
    print(f"ours: index and kernels {time.process_time() - started:.2f} s")
    started = time.process_time()
    found = index.find(column)
    documents = len(set(found["row"].to_pylist()))
    return report("ours", texts, time.process_time() - started, documents)


def datatrove(fields: list[str], texts: list[str]) -> float:
    from datatrove.data import Document
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
    from datatrove.utils.text import ngrams, simplify_text

    config = NGramsDecontConfig(n_grams=13)
    with tempfile.TemporaryDirectory() as folder:
        step = NGramsDecontFilter(folder, config=config)
        # datatrove 0.10.1 hands a str to xxhash, which xxhash 4 refuses: the bytes' hash.
        step.hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())
        hashes = {
            step.hash_func(" ".join(gram))
            for text in fields
            for gram in ngrams(
                step.tokenizer.word_tokenize(simplify_text(text, config.norm_config)), 13
            )
        }
        kind = config.hash_config.np_descr
        np.array(sorted(hashes), dtype=kind).tofile(Path(folder) / "items.index.hashes")
        step.load_index_hashes()
        documents = [Document(text=text, id=str(at)) for at, text in enumerate(texts)]
        started = time.process_time()
        verdicts = [step.filter(document) for document in documents]
    seconds = time.process_time() - started
    return report("datatrove", texts, seconds, sum(verdict is not True for verdict in verdicts))


def report(name: str, texts: list[str], seconds: float, touched: int) -> float:
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(
        f"{name}: {megabytes:.1f} MB, {len(texts)} documents in {seconds:.2f} s: "
        f"{megabytes / seconds:.2f} MB/s, {touched} documents touched"
    )
    return megabytes / seconds


if __name__ == "__main__":
    main()
