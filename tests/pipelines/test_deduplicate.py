import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.dedup import MinHash, UnionFind, exact_keys
from pipelines import deduplicate, schemas
from pipelines.deduplicate import DedupConfig, candidate_pairs, decide
from pipelines.executors import InProcess
from pipelines.shards import ShardFiles
from pipelines.workspace import InputArtifact, Resources, StageOutput, Workspace
from tests.support.documents import prose

LONG = prose(1, words=120)
NEAR = LONG.replace("water", "waters", 1)


def _signatures(texts: Mapping[str, str]) -> pa.Table:
    column = pa.array(list(texts.values()), pa.large_string())
    bands = MinHash().band_hashes(MinHash().signatures(column))
    flat = pa.array(bands.reshape(-1))
    return pa.table(
        {
            "doc_id": list(texts),
            "length": [len(text.encode()) for text in texts.values()],
            "exact": exact_keys(column),
            "bands": pa.FixedSizeListArray.from_arrays(flat, bands.shape[1]),
        }
    )


def _decide(texts: Mapping[str, str], **config: object) -> dict[str, dict[str, object]]:
    table = _signatures(texts)
    rows = decide(table, DedupConfig.model_validate(config), lambda ids: {i: texts[i] for i in ids})
    return {row.pop("doc_id"): row for row in rows.to_pylist()}


def test_an_exact_copy_names_the_one_that_stays() -> None:
    found = _decide({"b": LONG, "a": LONG, "c": prose(2)})
    assert found == {
        "b": {
            "rule": "duplicate_exact",
            "feature": "copies",
            "value": 2.0,
            "limit": 1.0,
            "duplicate_of": "a",
        }
    }


def test_a_near_copy_carries_its_true_jaccard_and_the_longest_stays() -> None:
    found = _decide({"a": LONG, "b": NEAR, "c": prose(2)})
    assert set(found) == {"a"}
    assert found["a"]["rule"] == "duplicate_minhash"
    assert found["a"]["duplicate_of"] == "b"
    assert found["a"]["value"] == MinHash().jaccard(LONG, NEAR)
    assert 0.8 <= float(str(found["a"]["value"])) < 1


def test_below_the_threshold_nothing_is_dropped() -> None:
    assert _decide({"a": LONG, "b": NEAR}, threshold=1.0) == {}


def test_the_exact_method_leaves_near_copies() -> None:
    assert set(_decide({"a": LONG, "b": NEAR, "c": NEAR}, method="exact")) == {"c"}


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_the_order_of_the_input_does_not_matter(seed: int) -> None:
    texts = {f"d{i}": prose(i % 7) + (" end" if i % 3 else "") for i in range(21)}
    shuffled = list(texts.items())
    random.Random(seed).shuffle(shuffled)
    assert _decide(dict(shuffled)) == _decide(texts)


def test_what_stays_has_no_copies_left() -> None:
    texts = {f"d{i}": prose(i % 7) + (" end" if i % 3 else "") for i in range(21)}
    dropped = _decide(texts)
    left = {doc_id: text for doc_id, text in texts.items() if doc_id not in dropped}
    assert _decide(left) == {}
    assert {str(row["duplicate_of"]) for row in dropped.values()} <= set(left)


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), max_size=15))
def test_candidates_connect_all_that_share_a_band(bands: list[list[int]]) -> None:
    table = np.array(bands, dtype=np.uint64).reshape(-1, 3)
    rows = len(table)
    pairs = candidate_pairs(table, np.ones(rows, dtype=bool), np.arange(rows))
    clusters = UnionFind[int]()
    for left, right in pairs:
        assert (table[left] == table[right]).any()
        clusters.union(left, right)
    for left in range(rows):
        for right in range(left):
            if (table[left] == table[right]).any():
                assert clusters.find(left) == clusters.find(right)


def _run(folder: Path, texts: Mapping[str, str]) -> StageOutput:
    columns = {field.name: pa.nulls(len(texts), field.type) for field in schemas.DOCUMENT}
    columns |= {
        "doc_id": pa.array(list(texts)),
        "text": pa.array(list(texts.values()), pa.large_string()),
    }
    files = ShardFiles(folder / "in", "00000", "aaaa")
    files.write_parquet(pa.table(columns), "data")
    documents = InputArtifact("clean", "filter", "0" * 64, folder / "in", files.entries)
    workspace = Workspace(
        "unique", folder / "out", "bbbb", {"documents": documents}, Resources(), InProcess()
    )
    return deduplicate.run(workspace, DedupConfig())


def test_the_stage_keeps_every_row_on_one_side(tmp_path: Path) -> None:
    texts = {"a": LONG, "b": NEAR, "c": LONG, "d": prose(3), "e": ""}
    output = _run(tmp_path, texts)
    output.ledger.balance("unique")
    by_role = {
        role: {
            row["doc_id"]: row
            for entry in output.files
            if entry.role == role
            for row in pq.read_table(tmp_path / "out" / entry.path).to_pylist()
        }
        for role in ("data", "rejects")
    }
    assert set(by_role["data"]) == {"b", "d", "e"}
    assert by_role["rejects"]["c"]["duplicate_of"] == "a"
    assert by_role["rejects"]["a"]["duplicate_of"] == "b"
    assert by_role["rejects"]["a"]["stage"] == "unique"
    assert set(schemas.DROPPED.names) <= set(by_role["rejects"]["a"])
