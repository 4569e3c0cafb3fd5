"""Main text of HTML pages: how much of what must survive does, what must not, and how fast.

    python -m benchmarks.html_extraction PAGES.jsonl.gz [--repeat 3]

A page has `html`, and `with` and `without`: passages that its main text must and must not hold.
Recall is the share of `with` found, precision the share of found passages that are `with`. Ours is
the reader's own code path with either extractor; the peer is trafilatura preferring precision, as
FineWeb used it. CPU time, one thread, all in this process.
"""

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.listed_files import SourceFile
from pipelines.reading.html import RawPage, page_record
from pipelines.reading.portion import Extractor, Reading

NOWHERE = SourceFile(name="page", uri="page", format="html", bytes=0, xxh3_128="")


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("pages", type=Path)
    arguments.add_argument("--repeat", type=int, default=3)
    options = arguments.parse_args()
    with gzip.open(options.pages, "rt", encoding="utf-8") as handle:
        pages = [json.loads(line) for line in handle]
    print(
        f"{len(pages)} pages, {sum(map(size, pages)) / 1e6:.1f} MB, load {os.getloadavg()[0]:.1f}"
    )
    speeds = {}
    for name, extract in (
        ("resiliparse (ours)", ours("resiliparse")),
        ("trafilatura (ours)", ours("trafilatura")),
        ("trafilatura alone", trafilatura_alone),
        ("all text", all_text),
    ):
        texts, speeds[name] = timed(extract, pages, options.repeat)
        precision, recall = quality(pages, texts)
        print(f"{name:<22}precision {precision:.3f}  recall {recall:.3f}  {speeds[name]:7.1f} MB/s")
    ratio = speeds["resiliparse (ours)"] / speeds["trafilatura alone"]
    print(f"ratio: {ratio:.1f}x trafilatura")


def size(page: dict[str, Any]) -> int:
    return len(page["html"].encode())


def ours(extractor: Extractor) -> Callable[[str], str]:
    reading = Reading(extractor=extractor)

    def extract(html: str) -> str:
        return page_record(RawPage(NOWHERE, "0", html.encode(), "utf-8", None, {}), reading).text

    return extract


def trafilatura_alone(html: str) -> str:
    import trafilatura

    found = trafilatura.extract(html, favor_precision=True, include_comments=False)
    return found or ""


def all_text(html: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(html, main_content=False)


def timed(
    extract: Callable[[str], str], pages: list[dict[str, Any]], repeat: int
) -> tuple[list[str], float]:
    extract(pages[0]["html"])
    begin = time.process_time()
    for _ in range(repeat):
        texts = [extract(page["html"]) for page in pages]
    seconds = (time.process_time() - begin) / repeat
    return texts, sum(map(size, pages)) / 1e6 / seconds


def quality(pages: list[dict[str, Any]], texts: list[str]) -> tuple[float, float]:
    right = wrong = wanted = 0
    for page, text in zip(pages, texts, strict=True):
        flat = " ".join(text.split())
        right += sum(" ".join(passage.split()) in flat for passage in page["with"])
        wrong += sum(" ".join(passage.split()) in flat for passage in page["without"])
        wanted += len(page["with"])
    return right / max(1, right + wrong), right / max(1, wanted)


if __name__ == "__main__":
    main()
