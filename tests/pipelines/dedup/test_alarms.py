"""Huge clusters and wiped-out sources hold a result back, and name examples."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.checks import Expectations, Result
from pipelines.dedup.alarms import no_alarm
from tests.support.corpora import artifact, dedup, rows_of
from tests.support.documents import prose
from tests.support.runs import runner
from workflows import quarantine
from workflows.errors import QuarantineError
from workflows.recipe import load_recipe

SAME = {f"s{i}": prose(1) for i in range(5)}
OTHERS = {f"o{i}": prose(10 + i) for i in range(5)}


def checked(folder: Path, rows: list[Any], **config: Any) -> tuple[bool, str]:
    output = dedup(folder / "out", {"documents": artifact(folder / "in", [rows])}, config)
    assert output.metrics["alarms"] == len(output.info["alarms"])
    found = no_alarm(Result(folder, output, Expectations()))
    return found.ok, found.found


def test_a_large_cluster_names_what_it_would_drop(tmp_path: Path) -> None:
    rows = rows_of(SAME)
    assert checked(tmp_path / "at", rows, max_cluster=5) == (True, "none")
    ok, found = checked(tmp_path / "over", rows, max_cluster=4)
    assert not ok
    assert "a cluster of 5 documents (limit 4), kept s0" in found
    assert "s1, s2, s3, s4" in found


def test_a_wiped_out_source_is_named(tmp_path: Path) -> None:
    rows = [*rows_of(SAME, source="mirror"), *rows_of(OTHERS, source="news")]
    config = {"min_source": 5, "max_source_loss": 0.7}
    assert checked(tmp_path / "over", rows, **config) == (
        False,
        "source 'mirror' lost 4 of 5 documents (limit 70%)",
    )
    assert checked(tmp_path / "few", rows, **(config | {"min_source": 6}))[0]
    assert checked(tmp_path / "at", rows, **(config | {"max_source_loss": 0.8}))[0]


def test_an_alarm_quarantines_the_result_until_someone_accepts_it(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in SAME.values()))
    recipe_file = tmp_path / "recipe.yaml"
    recipe_file.write_text(
        f"name: small\nstore: {tmp_path / 'store'}\nstages:\n"
        f"  docs: {{kind: source, config: {{paths: [{data}]}}}}\n"
        "  text: {kind: extract, needs: docs}\n"
        "  unique: {kind: dedup, needs: text, config: {max_cluster: 3}}\n"
    )
    recipe = load_recipe(recipe_file)
    with pytest.raises(QuarantineError, match="dedup_alarms: a cluster of 5 documents"):
        runner(recipe).run(recipe)
    folder = quarantine.find(tmp_path / "store", "unique")
    accepted = quarantine.accept(folder, by="a person", note="a template")
    assert accepted.manifest.ledger.kept.rows == 1
    assert accepted.manifest.info["largest_clusters"][0]["size"] == 5
