from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.ledger import Count, Ledger
from pipelines.shards import ShardFiles, ShardRecord, load_record, save_record


def _record(root: Path, attempt: str, rows: int = 3) -> ShardRecord:
    files = ShardFiles(root, "00001", attempt)
    files.write_parquet(pa.table({"doc_id": [str(i) for i in range(rows)]}), "data")
    count = Count(rows=rows)
    return ShardRecord(shard="00001", files=files.entries, ledger=Ledger(entered=count, kept=count))


def test_the_first_record_wins_and_the_second_attempt_adopts_it(tmp_path: Path) -> None:
    first = save_record(tmp_path, _record(tmp_path, "aaaa"))
    second = save_record(tmp_path, _record(tmp_path, "bbbb"))
    assert second == first
    assert load_record(tmp_path, "00001") == first


def test_a_record_whose_file_was_cut_does_not_count(tmp_path: Path) -> None:
    record = save_record(tmp_path, _record(tmp_path, "aaaa"))
    path = tmp_path / record.files[0].path
    path.write_bytes(path.read_bytes()[:-1])
    assert load_record(tmp_path, "00001") is None
    redone = save_record(tmp_path, _record(tmp_path, "bbbb"))
    assert load_record(tmp_path, "00001") == redone


def test_a_record_whose_file_is_gone_does_not_count(tmp_path: Path) -> None:
    record = save_record(tmp_path, _record(tmp_path, "aaaa"))
    (tmp_path / record.files[0].path).unlink()
    assert load_record(tmp_path, "00001") is None


def test_equal_tables_have_equal_hashes(tmp_path: Path) -> None:
    one, two = _record(tmp_path, "aaaa").files[0], _record(tmp_path, "bbbb").files[0]
    assert one.path != two.path
    assert one.xxh3_128 == two.xxh3_128
    assert pq.read_table(tmp_path / one.path).num_rows == one.rows == 3
