"""Against earlier artifacts: their documents stay, and their signatures are not made again."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from filters.dedup import MinHash, signature_columns
from pipelines.shards import ShardFiles
from pipelines.workspace import InputArtifact
from tests.support.corpora import artifact, dedup, evidence, published, read, rows_of
from tests.support.documents import prose
from tests.support.runs import runner
from workflows.recipe import load_recipe

LONG = prose(1, words=120)
NEAR = LONG.replace("water", "waters", 1)
OLD = {"z": LONG, "y": prose(2), "w": LONG, "x": prose(4)}
NEW = {"a": NEAR, "b": prose(2), "c": prose(3), "d": prose(3)}


def earlier(folder: Path, texts: dict[str, str], **inputs: InputArtifact) -> InputArtifact:
    documents = artifact(folder / "in", [rows_of(texts)])
    output = dedup(folder / "out", {"documents": documents, **inputs})
    return published(folder / "out", output)


def test_copies_of_what_was_kept_before_are_dropped(tmp_path: Path) -> None:
    old = earlier(tmp_path / "old", OLD)
    new = artifact(tmp_path / "new", [rows_of(NEW)])
    output = dedup(tmp_path / "out", {"documents": new, "against": old})
    found = read(tmp_path / "out", output, "rejects")
    assert {i: row["duplicate_of"] for i, row in found.items()} == {"a": "w", "b": "y", "d": "c"}
    assert found["a"]["value"] == MinHash().jaccard(LONG, NEAR)  # though NEAR is the longer
    assert set(read(tmp_path / "out", output, "data")) == {"c"}
    assert output.ledger.entered.rows == 4
    assert output.metrics["sketches_reused"] == 3  # of "w", "x" and "y": "z" is not there any more
    pairs = {(row["left"], row["right"]) for row in evidence(tmp_path / "out", output, "verify")}
    assert pairs == {("a", "w")}


def test_another_family_s_signatures_are_not_used(tmp_path: Path) -> None:
    old = earlier(tmp_path / "old", OLD)
    new = artifact(tmp_path / "new", [rows_of(NEW)])
    inputs = {"documents": new, "against": old}
    output = dedup(tmp_path / "out", inputs, {"bands": 20, "rows": 5})
    assert output.metrics["sketches_reused"] == 0
    assert set(read(tmp_path / "out", output, "rejects")) == {"a", "b", "d"}
    by_bytes = dedup(tmp_path / "exact", inputs, {"method": "exact"})
    assert by_bytes.metrics["sketches_reused"] == 3
    assert set(read(tmp_path / "exact", by_bytes, "rejects")) == {"b", "d"}


def test_several_earlier_artifacts(tmp_path: Path) -> None:
    first = earlier(tmp_path / "first", OLD)
    second = earlier(tmp_path / "second", NEW, against=first)
    third = artifact(tmp_path / "third", [rows_of({"n": prose(3), "m": prose(4), "o": prose(5)})])
    inputs = {"documents": third, "against": first, "against_2": second}
    output = dedup(tmp_path / "out", inputs)
    assert set(read(tmp_path / "out", output, "data")) == {"o"}


@pytest.mark.parametrize("with_family", [True, False])
def test_hashes_of_the_stage_before_are_used(tmp_path: Path, with_family: bool) -> None:
    plain = artifact(tmp_path / "in", [rows_of(NEW)])
    statistics = pa.table({"doc_id": ["dropped before", *NEW]})  # features have all that entered
    texts = pa.array(["gone", *NEW.values()], pa.large_string())
    for name, column in zip(
        ("exact", "bands"), signature_columns(texts, MinHash()).columns, strict=True
    ):
        statistics = statistics.append_column(name, column)
    files = ShardFiles(tmp_path / "in", "00000", "hand")
    files.write_parquet(statistics, "features")
    info: dict[str, Any] = {"minhash": dict(MinHash().identity())} if with_family else {}
    entries = (*plain.files, *files.entries)
    documents = InputArtifact("clean", "filter", "0" * 64, tmp_path / "in", entries, info)
    output = dedup(tmp_path / "out", {"documents": documents})
    assert output.metrics["sketches_reused"] == (4 if with_family else 0)
    assert set(read(tmp_path / "out", output, "rejects")) == {"d"}


def test_a_recipe_names_what_came_before(tmp_path: Path) -> None:
    for name, texts in (("old", OLD), ("new", NEW)):
        lines = [json.dumps({"text": text}) + "\n" for text in texts.values()]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    recipe_file = tmp_path / "recipe.yaml"
    recipe_file.write_text(
        f"name: small\nstore: {tmp_path / 'store'}\nstages:\n"
        f"  old_docs: {{kind: source, config: {{paths: [{tmp_path / 'old.jsonl'}]}}}}\n"
        f"  new_docs: {{kind: source, config: {{paths: [{tmp_path / 'new.jsonl'}]}}}}\n"
        "  old_text: {kind: extract, needs: old_docs}\n"
        "  new_text: {kind: extract, needs: new_docs}\n"
        "  old: {kind: dedup, needs: old_text}\n"
        "  new: {kind: dedup, needs: {documents: new_text, against: old}}\n"
    )
    recipe = load_recipe(recipe_file)
    stages = {done.stage.name: done.artifact.manifest for done in runner(recipe).run(recipe).stages}
    assert stages["new"].ledger.kept.rows == 1
    assert stages["new"].metrics["sketches_reused"] == stages["old"].ledger.kept.rows == 3
