"""A store full of hostile texts, and a browser to open it in."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.shards import ShardFiles
from tests.support.browsing import Watched
from tests.support.made_up_runs import START, Made, manifest_of, write_run
from workflows.artifact import folder_of, publish
from workflows.ui.index import Index
from workflows.ui.server import PageServer

__all__ = ["Watched"]

SCRIPT = "</script><script>window.pwned=1</script>"
IMAGE = '"><img src=x onerror="window.pwned=1">'
IMAGE_NAME = "\"><img src=x onerror='window.pwned=1'>"  # no slash: it must do for a folder
LINK = "javascript:window.pwned=1"
COMMENT = "<!--<script>"
HOSTILE = (SCRIPT, IMAGE, LINK, COMMENT, "\u2028\u2029 ' \" ` ${window.pwned=1}")
EVERYTHING = " ".join(HOSTILE)


@pytest.fixture(scope="session")
def hostile_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("hostile")
    worst = Made(
        IMAGE_NAME,
        {"documents": "docs"},
        makes="report",
        config={EVERYTHING: {"inner": EVERYTHING, "url": LINK}},
        dropped={EVERYTHING: 10},
        metrics={EVERYTHING: 1.0},
        info={"samples": [{"prompt": EVERYTHING, "text": EVERYTHING, "answer": IMAGE, "right": 0}]},
        why=EVERYTHING,
        unit=IMAGE,
        code_parts={EVERYTHING: "a" * 64},
    )
    stages = [Made("docs", metrics={"tokens": 5e3}), worst]
    failing = [*stages, Made("end", {SCRIPT: IMAGE_NAME}, error=EVERYTHING, why=SCRIPT)]
    other = [stages[0], Made(**{**vars(worst), "config": {EVERYTHING: COMMENT}})]
    told = {"recipe": SCRIPT, "command": f"llada run {EVERYTHING}", "commit": IMAGE}
    write_run(store, f"run{IMAGE_NAME}", failing, status="FAILED", at=START + 60, **told)
    write_run(store, "earlier", other, **told)
    add_documents(store, "met", kept=[("good", EVERYTHING)], dropped=[(IMAGE, EVERYTHING)])
    folder = store / "_runs" / "unreadable<img src=x onerror=window.pwned=1>"
    folder.mkdir()
    (folder / "events.jsonl").write_text(f"{SCRIPT}\n")
    return store


def add_documents(
    store: Path, name: str, *, kept: list[tuple[str, str]], dropped: list[tuple[str, str]]
) -> None:
    """Publish an artifact with real documents and real rejects."""
    made = Made(
        name,
        makes="documents",
        entered=len(kept) + len(dropped),
        dropped={"too_short": len(dropped)},
    )
    manifest = manifest_of(made, {}, "earlier")
    folder = folder_of(store, made.kind, name, manifest.key)
    files = ShardFiles(folder, "00000", "aa")

    def columns(rows: list[tuple[str, str]]) -> dict[str, list[str]]:
        return {
            "doc_id": [doc_id for doc_id, _ in rows],
            "text": [text for _, text in rows],
            "source": [LINK for _ in rows],
        }

    files.write_parquet(pa.table(columns(kept)), "data")
    verdict = {"rule": [SCRIPT], "feature": [IMAGE], "value": [1.5], "limit": [3.0]}
    rejects = {**columns(dropped), **{k: v * len(dropped) for k, v in verdict.items()}}
    files.write_parquet(pa.table(rejects), "rejects")
    publish(folder, manifest.model_copy(update={"files": files.entries}))


@contextmanager
def serving(store: Path) -> Iterator[PageServer]:
    with PageServer(Index(store), 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
