from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from pipelines import schemas
from pipelines.shards import ShardFiles
from pipelines.tokenize import Packed, is_held_out

EOS = 1
documents = st.lists(st.lists(st.integers(2, 99), max_size=30), max_size=12)


def _pack(texts: list[list[int]], length: int) -> Packed:
    packed = Packed(length, EOS)
    packed.add_all((f"d{i}", ids) for i, ids in enumerate(texts))
    return packed


@given(documents, st.integers(2, 16))
def test_no_token_is_lost_or_doubled(texts: list[list[int]], length: int) -> None:
    packed = _pack(texts, length)
    flat = np.concatenate(packed.rows).tolist() if packed.rows else []
    expected = [token for ids in texts for token in [*ids, EOS]]
    assert flat[: len(expected)] == expected
    assert flat[len(expected) :] == [EOS] * packed.padding
    assert packed.padding < length
    assert packed.tokens == len(expected)


@given(documents, st.integers(2, 16))
def test_every_position_leads_back_to_its_document(texts: list[list[int]], length: int) -> None:
    packed = _pack(texts, length)
    rebuilt: dict[str, list[int]] = {f"d{i}": [] for i in range(len(texts))}
    for row, ids, starts in zip(packed.rows, packed.doc_ids, packed.offsets, strict=True):
        ends = [*starts[1:], length]
        for doc_id, start, end in zip(ids, starts, ends, strict=True):
            rebuilt[doc_id] += row[start:end].tolist()
    for i, ids in enumerate(texts):
        found = rebuilt[f"d{i}"]
        if i == len(texts) - 1:
            found = found[: len(found) - packed.padding]
        assert found == [*ids, EOS]


def test_a_shard_is_narrow_and_readable_with_datasets(tmp_path: Path) -> None:
    table = _pack([[5, 6, 7], [8] * 10], 4).table(4096)
    assert table.schema == schemas.token_shard(4, 4096)
    assert table.schema.field("input_ids").type.value_type == pa.uint16()
    files = ShardFiles(tmp_path, "00000", "aaaa")
    files.write_arrow(table, "data")
    path = str(tmp_path / files.entries[0].path)
    assert Dataset.from_file(path)[0]["input_ids"] == [5, 6, 7, EOS]
    with pa.memory_map(path) as source:
        assert pa.ipc.open_stream(source).read_all().equals(table)


def test_a_large_vocabulary_gets_wider_ids() -> None:
    assert schemas.token_type(65536) == pa.uint16()
    assert schemas.token_type(65537) == pa.uint32()


def test_the_held_out_share_is_near_what_was_asked_and_stable() -> None:
    ids = [f"doc-{i}" for i in range(20_000)]
    held = [i for i in ids if is_held_out(i, 0.02)]
    assert 0.015 < len(held) / len(ids) < 0.025
    assert set(held) <= {i for i in ids if is_held_out(i, 0.05)}
    assert not any(is_held_out(i, 0.0) for i in ids)
