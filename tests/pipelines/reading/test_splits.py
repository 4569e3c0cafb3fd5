"""Many files are cut as each is alone; one that crashes its reader is not cut, and ends nothing."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.reading.splits import portions_of_all
from pipelines.reading.splitting import portions_of
from tests.support.deep_parquet import deep_parquet
from tests.support.reading import listed

MOST = 1000


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        table = pa.table({"text": [f"{number} {at} " * 20 for at in range(100)]})
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=10, compression="none")
    (tmp_path / "lines.jsonl").write_text('{"text": "a"}\n' * 500)
    (tmp_path / "small.txt").write_text("a")
    return tmp_path


def test_a_file_that_crashes_its_reader_is_not_cut_and_the_others_are(folder: Path) -> None:
    (folder / "deep.parquet").write_bytes(deep_parquet())
    files = [listed(path) for path in sorted(folder.iterdir())]
    told: list[tuple[int, int]] = []
    found = portions_of_all(files, MOST, lambda done, total: told.append((done, total)))
    deep = next(file for file in files if file.name == "deep.parquet")
    assert [portion.stop for portion in found[deep.name]] == [None]
    for file in files:
        if file is not deep:
            assert found[file.name] == portions_of(file, MOST)
    assert sorted(len(portions) for portions in found.values()) == [1, 1, 7, 10, 10, 10]
    assert told == [(6, 6)]


def test_a_file_that_is_gone_is_said(folder: Path) -> None:
    files = [listed(folder / "0.parquet"), listed(folder / "1.parquet")]
    (folder / "1.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.parquet"):
        portions_of_all(files, MOST, quiet)


def test_a_look_can_be_ended(folder: Path) -> None:
    def end(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        portions_of_all([listed(folder / "0.parquet")], MOST, end)
