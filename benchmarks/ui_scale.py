"""How the lineage page does on a large store: 10,000 runs, and a recipe of 500 stages.

    python benchmarks/ui_scale.py [--runs 10000] [--stages 500] [--store DIR] [--screenshot FILE]

Writes a store of made-up runs (real events and manifests, nothing is run), then times the index
without and with its memory, the answers of the server, the size of the pages, and in headless
Chromium how long the graph of the large run takes from an address to boxes on the screen.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.made_up_runs import START, Made, write_run
from workflows.ui.index import Index
from workflows.ui.page import file_page, served_page
from workflows.ui.server import PageServer
from workflows.ui.view import run_page, run_view, search

LARGE = "20261201-000000-large"
EARLIER = "20261130-000000-large"
CHROMIUM = "/usr/bin/chromium"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--runs", type=int, default=10_000)
    arguments.add_argument("--stages", type=int, default=500)
    arguments.add_argument("--store", type=Path, help="Keep the store here; used again if there.")
    arguments.add_argument("--screenshot", type=Path)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = options.store or Path(folder)
        if not (store / "_runs").is_dir():
            timed("write the store", lambda: build(store, options.runs, options.stages))
        (store / "_cache" / "ui-index.json").unlink(missing_ok=True)
        index = Index(store)
        timed("index, nothing remembered", index.refresh)
        print(
            f"  {len(index.runs):,} runs, {len(index.artifacts):,} artifacts, {index.read:,} read"
        )
        again = timed("start again: load the memory", lambda: Index(store))
        timed("index, all remembered", again.refresh)
        print(f"  {again.read:,} files read")
        measure_answers(index)
        measure_browser(index, options.screenshot)


def measure_answers(index: Index) -> None:
    timed("a page of the run list", lambda: run_page(index, "failed", 100))
    timed("search", lambda: search(index, "stage-17"))
    timed("graph of the large run", lambda: run_view(index, LARGE))
    page = timed("page as served", lambda: served_page(index, LARGE, None))
    print(f"  {len(page.encode()):,} bytes")
    page = timed("page as one file, compared with another run", lambda: file_page(
        index, LARGE, EARLIER
    ))  # fmt: skip
    print(f"  {len(page.encode()):,} bytes")


def measure_browser(index: Index, screenshot: Path | None) -> None:
    if not Path(CHROMIUM).exists():
        print(f"browser: missing, {CHROMIUM} is not there: apt-get install chromium")
        return
    from playwright.sync_api import sync_playwright

    with PageServer(index, 0) as server, sync_playwright() as tools:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = tools.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page: Any = browser.new_page(viewport={"width": 1440, "height": 1000})

        def opened(address: str, ready: str) -> None:
            page.goto(server.address + address)
            page.wait_for_selector(ready)

        timed("browser: open the large run", lambda: opened(f"#/run/{LARGE}", ".box"))
        layout = page.evaluate("document.querySelector('.graph').layoutMs")
        count = page.evaluate("document.querySelectorAll('.box').length")
        print(f"  layout and drawing {layout:.0f} ms for {count} boxes")
        page.focus(".box")
        timed("browser: 100 arrow keys", lambda: press(page))
        if screenshot:
            page.screenshot(path=screenshot)
        timed("browser: choose a stage", lambda: choose(page))
        timed("browser: its table", lambda: opened(f"#/run/{LARGE}/table", "tbody tr"))
        timed("browser: its documents", lambda: opened(f"#/run/{LARGE}/documents", ".sankey"))
        timed("browser: compare", lambda: opened(f"#/compare/{EARLIER}/{LARGE}", ".changed"))
        timed("browser: list of runs", lambda: opened("#/runs", ".pager"))
        browser.close()
        server.shutdown()


def press(page: Any) -> None:
    for _ in range(100):
        page.keyboard.press("ArrowRight")


def choose(page: Any) -> None:
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel-title")


def build(store: Path, runs: int, stages: int) -> None:
    rng = random.Random(7)
    for number in range(runs):
        small = chain(12, seed=number % 40)
        failed = number % 9 == 4
        if failed:
            small = [*small[:8], Made("s08", {"documents": "s07"}, error="a shard is damaged")]
        run_id = f"run-{number:05d}"
        write_run(
            store, run_id, small, at=START + 60 * number, status="FAILED" if failed else "FINISHED"
        )
    large = wide(stages, rng)
    write_run(store, EARLIER, large, at=START + 60 * runs + 100)
    changed = [
        stage if at % 50 else Made(**{**vars(stage), "config": {"threshold": 0.9, "at": at}})
        for at, stage in enumerate(large)
    ]
    write_run(store, LARGE, changed, at=START + 60 * runs + 10_000)


def chain(length: int, seed: int) -> list[Made]:
    return [
        Made(
            f"s{at:02d}",
            {"documents": f"s{at - 1:02d}"} if at else {},
            config={"seed": seed},
            entered=1000 - 10 * at,
            dropped={"too_short": 7, "language": 3},
        )
        for at in range(length)
    ]


def wide(stages: int, rng: random.Random) -> list[Made]:
    """A recipe as a large sweep makes it: layers of ten, each stage reads one to three before."""
    parts = {f"pipelines.module_{n}.function": f"{n:064d}" for n in range(200)}
    made = []
    for at in range(stages):
        before = range(max(0, at - at % 10 - 10), at - at % 10)
        chosen = rng.sample(before, min(len(before), rng.choice([1, 1, 2, 3])))
        needs = {f"slot{n}": f"stage-{other:03d}" for n, other in enumerate(sorted(chosen))}
        made.append(
            Made(
                f"stage-{at:03d}",
                needs,
                config={"threshold": 0.8, "at": at},
                code_parts=parts,
                entered=100_000 - at * 10,
                dropped={"too_short": 900, "language": rng.randrange(500)},
            )
        )
    return made


def timed(what: str, work: Callable[[], Any]) -> Any:
    begin = time.perf_counter()
    result = work()
    print(f"{what}: {time.perf_counter() - begin:.3f} s")
    return result


if __name__ == "__main__":
    main()
