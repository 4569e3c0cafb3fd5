"""Dedup of real documents against brute force: what it misses, and what it should not remove."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.brute_force import quality, truth
from filters.dedup import MinHash
from tests.support.corpora import artifact, dedup, read, rows_of


@pytest.mark.parametrize(("name", "removed"), [("multi_gnome_help", 300), ("code", 80)])
def test_recall_and_precision(shared_data: Path, tmp_path: Path, name: str, removed: int) -> None:
    table = pq.read_table(shared_data / f"corpus/text/{name}.shared.parquet", columns=["text"])
    texts = table["text"].cast(pa.large_string()).combine_chunks()
    rows = rows_of({str(at): text for at, text in enumerate(texts.to_pylist())})
    output = dedup(tmp_path / "out", {"documents": artifact(tmp_path / "in", [rows])})
    rejects = read(tmp_path / "out", output, "rejects")
    copy_of = {int(i): int(row["duplicate_of"]) for i, row in rejects.items()}
    family = MinHash()
    measured = quality(texts, truth(texts, family, 0.8), copy_of, family)
    assert len(copy_of) >= removed
    assert measured.precision == 1
    assert measured.recall >= 0.97
    assert measured.pair_recall >= 0.97
    assert measured.direct >= 0.95


def test_traditional_and_simplified_sentences_are_no_copies(
    shared_data: Path, tmp_path: Path
) -> None:
    path = shared_data / "corpus/text/multi_flores.shared.parquet"
    table = pq.read_table(path, columns=["id", "text", "lang"])
    rows = [row for row in table.to_pylist() if row["lang"] in ("zho_Hans", "zho_Hant")]
    assert len(rows) == 562  # 281 sentences in both scripts, some of them without a letter changed
    documents = artifact(tmp_path / "in", [rows_of({row["id"]: row["text"] for row in rows})])
    texts = {row["id"]: row["text"] for row in rows}
    for method in ("exact", "minhash"):
        output = dedup(tmp_path / method, {"documents": documents}, {"method": method})
        rejects = read(tmp_path / method, output, "rejects")
        assert output.ledger.kept.rows == len(set(texts.values()))
        assert all(texts[i] == texts[row["duplicate_of"]] for i, row in rejects.items())
