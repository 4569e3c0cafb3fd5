"""How fast documents are judged, and how often as datatrove judges them; CPU time, one thread.

    python benchmarks/filter_rules.py FILE.parquet ... [--megabytes 20] [--peer-megabytes 2]

Reads the column `text`; without files, the docstrings of the standard library. The peer is
datatrove where it can be imported, in this process, on an even sample of the same documents: the
same filters in the same order. Ours computes every statistic of every document, the peer stops at
the first rule that fails. Kernels are compiled and models loaded before the clock starts.
"""

import argparse
import ast
import importlib.util
import os
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from filters import RuleSet, features
from filters.fasttext_models import load, predict
from filters.language import UNDETERMINED, LanguageFilter, LanguageIdentifier

FAMILIES = ("gopher_repetition", "gopher", "c4_fineweb", "fineweb")
"""FineWeb's chain after the language, in its order (arXiv 2406.17557, 3)."""
Judge = Callable[[list[str]], object]


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("files", nargs="*", type=Path)
    arguments.add_argument("--megabytes", type=float, default=20)
    arguments.add_argument("--peer-megabytes", type=float, default=2)
    options = arguments.parse_args()
    texts = list(first(read(options.files) if options.files else docstrings(), options.megabytes))
    step = max(1, round(options.megabytes / options.peer_megabytes))
    few = texts[::step]
    peer = None
    if importlib.util.find_spec("datatrove"):
        peer = Datatrove()
    else:
        print("peer: missing, datatrove cannot be imported: pip install 'datatrove[processing]'")
    print(f"load {os.getloadavg()[0]:.1f}; MB of UTF-8 a CPU second, kept of all documents")
    tasks: tuple[tuple[str, Judge, Judge | None], ...] = (
        ("complete chain, words unicode", chain("unicode"), peer and peer.chain),
        ("complete chain, words spacy", chain("spacy"), peer and peer.chain),
        ("repetition alone, words unicode", repetition, peer and peer.repetition),
        ("language alone", languages, peer and peer.languages),
    )
    peers: dict[Any, float] = {}
    for name, ours, theirs in tasks:
        rate = speed(ours, texts)
        line = f"{name:<34}{rate:8.2f} MB/s"
        if theirs is not None:
            if theirs not in peers:
                peers[theirs] = speed(theirs, few)
            line += f"   datatrove {peers[theirs]:6.2f}   ratio {rate / peers[theirs]:6.1f}x"
        print(line, flush=True)
    same_labels(texts)
    if peer is not None:
        agreement(few, peer)


def same_labels(texts: list[str]) -> None:
    """Print how often the label is that of fastText asked about the whole text."""
    model = load(IDENTIFIER.path, "LanguageIdentifier.bundled()")
    whole = [predict(model, text.replace("\n", " ")) for text in texts]
    plain = [next(iter(answers), UNDETERMINED) for answers in whole]
    same = sum(a == b for a, b in zip(languages(texts), plain, strict=True))
    print(
        f"language: {same:,} of {len(texts):,} the label that fastText gives the whole text "
        f"({same / len(texts):.2%})"
    )


def chain(words: str) -> Judge:
    english = LanguageFilter(LanguageIdentifier.bundled(), ("en",), min_score=0.65)
    rules = RuleSet.combined(FAMILIES, words)

    def kept(texts: list[str]) -> int:
        return int(rules.judge(english.judge(table(texts))[0])[0].num_rows)

    return kept


def repetition(texts: list[str]) -> int:
    return int(RuleSet.named("gopher_repetition").judge(table(texts))[0].num_rows)


def languages(texts: list[str]) -> list[str]:
    found: list[str] = IDENTIFIER.identify(pa.array(texts, pa.large_string()))[0].to_pylist()
    return found


IDENTIFIER = LanguageIdentifier.bundled()


class Datatrove:
    """The peer's filters, with the model files of ours: its own downloads need a network."""

    def __init__(self) -> None:
        from datatrove.pipeline.filters import (
            C4QualityFilter,
            FineWebQualityFilter,
            GopherQualityFilter,
            GopherRepetitionFilter,
        )
        from datatrove.utils.lid import FT176LID
        from fasttext.FastText import _FastText

        self._lid = FT176LID(["en"])
        self._lid._model = _FastText(str(IDENTIFIER.path))
        self.filters = {
            "gopher_repetition": GopherRepetitionFilter(),
            "gopher": GopherQualityFilter(),
            "c4_fineweb": C4QualityFilter(filter_no_terminal_punct=False),
            "fineweb": FineWebQualityFilter(),
        }

    def english(self, texts: Sequence[str]) -> list[str]:
        return [text for text in texts if self._lid.predict(document(text))[1]["en"] > 0.65]

    def languages(self, texts: list[str]) -> list[str]:
        return [self._lid.predict(document(text))[0][0] for text in texts]

    def chain(self, texts: list[str]) -> int:
        kept = 0
        for text in self.english(texts):
            one = document(text)
            kept += all(self.filters[family].filter(one) is True for family in FAMILIES)
        return kept

    def repetition(self, texts: list[str]) -> int:
        return sum(self.filters["gopher_repetition"].filter(document(t)) is True for t in texts)

    def reason(self, family: str, text: str) -> str | None:
        verdict = self.filters[family].filter(document(text))
        return None if verdict is True else str(verdict[1])


def document(text: str) -> Any:
    from datatrove.data import Document

    return Document(text=text, id="0")


def agreement(texts: list[str], peer: Datatrove) -> None:
    """Print how often both keep or drop an English document, by family, and where they differ."""
    same = sum(a == b for a, b in zip(languages(texts), peer.languages(texts), strict=True))
    print(f"language: {same} of {len(texts)} the same label ({same / len(texts):.2%})")
    english = peer.english(texts)
    for words in ("spacy", "unicode"):
        statistics = features.compute(pa.array(english, pa.large_string()), words)
        for family in FAMILIES:
            ours = RuleSet.named(family, words).verdicts(statistics)["rule"].to_pylist()
            theirs = [peer.reason(family, text) for text in english]
            pairs = Counter(
                (a, b) for a, b in zip(ours, theirs, strict=True) if (a is None) != (b is None)
            )
            agree = 1 - sum(pairs.values()) / len(english)
            shown = ", ".join(
                f"{a or 'kept'} / {b or 'kept'} {count}" for (a, b), count in pairs.most_common(4)
            )
            print(f"words {words:<8}{family:<18}{agree:8.2%} of {len(english)}   {shown}")


def table(texts: list[str]) -> pa.Table:
    ids = [str(at) for at in range(len(texts))]
    return pa.table({"doc_id": ids, "text": pa.array(texts, pa.large_string())})


def speed(judge: Judge, texts: list[str]) -> float:
    """Return MB of UTF-8 a CPU second."""
    judge(texts[:20])
    begin = time.process_time()
    judge(texts)
    seconds = time.process_time() - begin
    return sum(len(text.encode()) for text in texts) / 1e6 / seconds


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
