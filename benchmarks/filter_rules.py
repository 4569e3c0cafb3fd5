"""How fast documents are judged: language, Gopher repetition and quality, in MB/s of CPU time.

    python benchmarks/filter_rules.py [FILE.parquet ...] [--megabytes 5] [--peer-megabytes 0.5]

Reads the column `text`; without files, the docstrings of the standard library. The peer is
datatrove, the same three filters in the same order on the first documents of the same text, in
this process where datatrove can be imported. Ours computes every statistic of every document;
datatrove stops at the first rule that fails.
"""

import argparse
import ast
import importlib.util
import os
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from filters import RuleSet
from filters.language import LanguageFilter, LanguageIdentifier


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("files", nargs="*", type=Path)
    arguments.add_argument("--megabytes", type=float, default=5)
    arguments.add_argument("--peer-megabytes", type=float, default=0.5)
    options = arguments.parse_args()
    texts = list(first(read(options.files) if options.files else docstrings(), options.megabytes))
    rate = report("ours", texts, *ours())
    if importlib.util.find_spec("datatrove") is None:
        print("peer: missing, datatrove cannot be imported: pip install 'datatrove[processing]'")
        return
    peer_texts = list(first(iter(texts), options.peer_megabytes))
    peer_rate = report("datatrove", peer_texts, *datatrove())
    print(f"ratio: {rate / peer_rate:.1f}x")


def ours() -> tuple[Callable[[list[str]], int], str]:
    english = LanguageFilter(LanguageIdentifier.bundled(), ("en",), min_score=0.65)
    rules = RuleSet.combined(["gopher_repetition", "gopher"])

    def kept(texts: list[str]) -> int:
        documents = pa.table(
            {"doc_id": [str(at) for at in range(len(texts))], "text": pa.array(texts)}
        )
        return rules.judge(english.judge(documents)[0])[0].num_rows

    return kept, "words: unicode"


def datatrove() -> tuple[Callable[[list[str]], int], str]:
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
    from datatrove.utils.lid import FT176LID
    from fasttext.FastText import _FastText

    identifier = FT176LID(["en"])  # its own download needs the internet: same model, k and input
    identifier._model = _FastText(str(LanguageIdentifier.bundled().path))
    rules = (GopherRepetitionFilter(), GopherQualityFilter())

    def kept(texts: list[str]) -> int:
        documents = [Document(text=text, id=str(at)) for at, text in enumerate(texts)]
        english = [each for each in documents if identifier.predict(each)[1]["en"] > 0.65]
        return sum(all(rule.filter(each) is True for rule in rules) for each in english)

    return kept, "words: spaCy"


def report(name: str, texts: list[str], kept: Callable[[list[str]], int], what: str) -> float:
    """Print and return MB of UTF-8 a CPU second; kernels and tokenizers are loaded before."""
    kept(["This is a sentence to load the models with."])
    begin = time.process_time()
    count = kept(texts)
    seconds = time.process_time() - begin
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(
        f"{name}: {megabytes / seconds:.2f} MB/s, {len(texts) / seconds:.0f} documents/s "
        f"({megabytes:.2f} MB, {len(texts)} documents, {count} kept, {seconds:.2f} CPU s, {what})"
    )
    return megabytes / seconds


def first(texts: Iterator[str], megabytes: float) -> Iterator[str]:
    left = megabytes * 1e6
    for text in texts:
        if left <= 0:
            return
        left -= len(text.encode())
        yield text


def read(files: list[Path]) -> Iterator[str]:
    for file in files:
        yield from pq.read_table(file, columns=["text"])["text"].to_pylist()


def docstrings() -> Iterator[str]:
    """The docstrings of each module of the standard library, joined."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
        yield "\n\n".join(filter(None, found))


if __name__ == "__main__":
    main()
