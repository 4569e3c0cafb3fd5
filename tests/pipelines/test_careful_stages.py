"""Every stage that judges documents sets aside those that crash it, or never end."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filters.quality import QualityClassifier
from pipelines import filter as filtering
from pipelines import schemas
from pipelines.bisection import QUARANTINED
from pipelines.clean import CleanConfig, Cleaner
from pipelines.decontaminate import DecontaminateConfig, Decontaminator
from pipelines.documents import Desk, DocumentsWorker, Judge, Judged
from pipelines.filter import FilterConfig, FilterWorker
from pipelines.judge import Apply
from pipelines.ledger import Count
from pipelines.local_copies import Bundle
from pipelines.screen import Screen, ScreenConfig
from pipelines.shards import read_table
from tests.support.documents import prose
from tests.support.fragile import (
    DIED,
    ENDLESS,
    POISON,
    Fragile,
    keep_busy,
    units,
)


def test_a_filter_is_careful_with_the_same_result(tmp_path: Path) -> None:
    rows = [{"doc_id": f"d{n}", "text": prose(n)} for n in range(12)] + [
        {"doc_id": "short", "text": "too short"}
    ]
    table = pa.Table.from_pylist(rows, schema=schemas.DOCUMENT)
    (unit,) = units(tmp_path, table)
    found = {}
    for name in ("plain", "careful"):
        worker = FilterWorker(
            Desk(tmp_path / name, "one", "clean"), FilterConfig(rules=("gopher",))
        )
        found[name] = worker(unit) if name == "plain" else worker.carefully(unit)
    hashes = [[(f.role, f.rows, f.xxh3_128) for f in found[name].files] for name in found]
    assert hashes[0] == hashes[1]
    assert found["plain"].ledger == found["careful"].ledger
    assert QUARANTINED not in found["careful"].ledger.dropped


class FragileJudge:
    """Judges as a stage does; `POISON` ends its process, `ENDLESS` has no end."""

    def __init__(self, factory: Callable[[], Judge]) -> None:
        self._judge = factory()

    def __call__(self, table: pa.Table) -> Judged:
        Fragile()(table)
        if ENDLESS in table["text"].to_pylist():
            keep_busy(ENDLESS)
        return self._judge(table)


def judges(folder: Path) -> dict[str, Callable[[], Judge]]:
    """The judges of five stages, each set so that it keeps, drops or edits something."""
    item = {"benchmark": "b", "item": "1", "field": "f", "text": prose(3)}
    pq.write_table(pa.Table.from_pylist([item]), folder / "items.parquet")
    config = DecontaminateConfig.model_validate({"benchmarks": {"b": {"files": "b"}}})
    screened = ScreenConfig(robots=("noai",))
    edits = {name: CleanConfig().edit(name) for name in CleanConfig().edits}
    texts = [prose(n) if n % 2 else f"{n} odd words" for n in range(40)]
    QualityClassifier.train(texts, [n % 2 for n in range(40)], quantile=0.5)[0].save(
        folder / "quality.bin"
    )
    learned = Bundle(((str(folder / "quality.bin"), ""),))
    return {
        "filter": partial(filtering.Judge, FilterConfig(rules=("gopher",))),
        "clean": partial(Cleaner, edits),
        "screen": partial(Screen, screened, {}),
        "decontaminate": partial(Decontaminator, str(folder / "items.parquet"), config),
        "judge": partial(Apply, learned, 0.5),
    }


@pytest.mark.parametrize("stage", ["filter", "clean", "screen", "decontaminate", "judge"])
def test_every_stage_of_documents_is_careful(tmp_path: Path, stage: str) -> None:
    rows = [
        {
            "doc_id": f"d{n}",
            "text": f"{prose(n)} Ask me@example.org, café." if n else "too short",
            "metadata": json.dumps({"robots": "noai"}) if n == 2 else None,
        }
        for n in range(11)
    ]
    bad = {"doc_id": "bad", "text": POISON}
    tables = [
        pa.Table.from_pylist(part, schema=schemas.DOCUMENT)
        for part in (rows, [*rows[:5], bad, *rows[5:]])
    ]
    clean, poisoned = units(tmp_path, *tables)
    poisoned["shard"] = clean["shard"]
    judge = judges(tmp_path)[stage]
    plain = DocumentsWorker(Desk(tmp_path / "plain", "one", stage), judge)(clean)
    desk = Desk(tmp_path / "careful", "one", stage)
    found = DocumentsWorker(desk, partial(FragileJudge, judge)).carefully(poisoned)
    files = [
        [(f.path, f.rows, f.xxh3_128) for f in record.files if f.role != "rejects"]
        for record in (plain, found)
    ]
    assert files[0] == files[1]
    dropped = dict(found.ledger.balance("here").dropped)
    assert dropped.pop(QUARANTINED) == Count(rows=1, bytes=len(POISON))
    assert dropped == plain.ledger.dropped
    assert dropped or stage == "clean"
    assert (found.ledger.edited, found.metrics) == (plain.ledger.edited, plain.metrics)
    (entry,) = (entry for entry in found.files if entry.role == "rejects")
    row = read_table(desk.root / entry.path).to_pylist()[-1]
    assert (row["doc_id"], row["rule"], row["stage"]) == ("bad", QUARANTINED, stage)
    assert row["error"] == DIED


@pytest.mark.parametrize("stage", ["filter", "clean", "screen", "decontaminate", "judge"])
def test_a_unit_of_nothing_but_crashes_is_set_aside_whole(tmp_path: Path, stage: str) -> None:
    bad = {"doc_id": "bad", "text": POISON}
    (unit,) = units(tmp_path, pa.Table.from_pylist([bad], schema=schemas.DOCUMENT))
    judge = partial(FragileJudge, judges(tmp_path)[stage])
    desk = Desk(tmp_path / "careful", "one", stage)
    found = DocumentsWorker(desk, judge).carefully(unit)
    assert found.ledger.balance("here").dropped == {QUARANTINED: Count(rows=1, bytes=len(POISON))}
    tables = {entry.role: read_table(desk.root / entry.path) for entry in found.files}
    assert tables["rejects"]["doc_id"].to_pylist() == ["bad"]
    assert (tables["data"].num_rows, any(found.metrics.values())) == (0, False)
    assert tables["data"].schema.names[: len(schemas.DOCUMENT)] == schemas.DOCUMENT.names


def test_a_document_that_has_no_end_costs_itself_alone(tmp_path: Path) -> None:
    rows = [{"doc_id": f"d{n}", "text": prose(n) if n != 2 else ENDLESS} for n in range(4)]
    (unit,) = units(tmp_path, pa.Table.from_pylist(rows, schema=schemas.DOCUMENT))
    judge = partial(FragileJudge, judges(tmp_path)["screen"])
    desk = Desk(tmp_path / "out", "one", "screen")
    found = DocumentsWorker(desk, judge, cpu_seconds=0.5).carefully(unit)
    assert found.ledger.kept.rows == 3
    assert found.ledger.dropped == {QUARANTINED: Count(rows=1, bytes=len(ENDLESS))}
    (entry,) = (entry for entry in found.files if entry.role == "rejects")
    (row,) = read_table(desk.root / entry.path).to_pylist()
    assert row["doc_id"] == "d2"
    assert "SIGPROF, for it took more processor time" in row["error"]
