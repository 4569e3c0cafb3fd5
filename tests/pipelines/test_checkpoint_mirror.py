"""A training in a bucket goes on elsewhere: what was complete here is found there, intact."""

import json
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from llada.training.checkpoint import Checkpoints, complete_checkpoints, discard
from llada.training.interventions import INTERVENTIONS
from llada.training.record import METRICS
from llada.training.retention import RetentionConfig
from pipelines import storage
from pipelines.checkpoint_mirror import bring_back, in_store, mirrored
from pipelines.storage import StorePath

TWO = RetentionConfig(last=2)


@pytest.fixture(scope="module", autouse=True)
def process_group() -> Iterator[None]:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def there(s3_store: str) -> StorePath:
    return storage.store_root(s3_store) / "pretrain" / "k" / "checkpoints"


def save(here: Path, step: int) -> None:
    """Save one checkpoint, and the record up to it."""
    here.mkdir(exist_ok=True)
    with (here / METRICS).open("a") as file:
        file.write(json.dumps({"step": step - 1}) + "\n")

    def write(folder: Path) -> list[Path]:
        (folder / "state").write_text(f"state {step}")
        return [folder / "state"]

    checkpoints = Checkpoints(here, TWO)
    checkpoints.save(step, lambda: write, tokens=step)
    checkpoints.wait()


def steps(checkpoints: StorePath) -> list[int]:
    return [c.step for c in in_store(checkpoints)]


def until(there: StorePath, *expected: int) -> None:
    deadline = time.monotonic() + 30
    while steps(there) != list(expected):
        assert time.monotonic() < deadline, steps(there)
        time.sleep(0.2)


def test_another_machine_goes_on_from_the_store(tmp_path: Path, there: StorePath) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    with mirrored(here, there, TWO):
        for step in (1, 2, 3):
            save(here, step)
            until(there, *range(step, max(0, step - 2), -1))
    elsewhere.mkdir()
    brought = bring_back(elsewhere, there)
    assert brought is not None
    assert (brought / "state").read_text() == "state 3"
    assert [c.step for c in complete_checkpoints(elsewhere)] == [3]
    lines = (elsewhere / METRICS).read_text().split()
    assert lines == (here / METRICS).read_text().split()
    assert bring_back(elsewhere, there) is None  # as new as the store's
    shutil.rmtree(here)  # the first machine is gone for good
    with mirrored(elsewhere, there, TWO):
        save(elsewhere, 4)
    assert steps(there) == [4, 3]  # copied when the block ended, at the latest


def test_what_a_rollback_deletes_here_is_deleted_there(tmp_path: Path, there: StorePath) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    decided = '{"number": 1}'
    with mirrored(here, there, TWO):
        for step in (1, 2):
            save(here, step)
            until(there, *range(step, 0, -1))
        discard(complete_checkpoints(here)[0])
        (here / INTERVENTIONS).write_text(decided)
        until(there, 1)
        save(here, 2)
        until(there, 2, 1)
    elsewhere.mkdir()
    brought = bring_back(elsewhere, there)
    assert brought is not None
    assert brought.name == complete_checkpoints(here)[0].folder.name
    assert (elsewhere / INTERVENTIONS).read_text().strip() == decided


def test_what_is_half_there_or_damaged_is_not_brought_back(
    tmp_path: Path, there: StorePath, caplog: pytest.LogCaptureFixture
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    with mirrored(here, there, TWO):
        save(here, 1)
        until(there, 1)
        save(here, 2)
    newest = there / in_store(there)[0].folder.name
    storage.write_bytes(newest / "state", b"state 7")
    storage.write_bytes(there / "step-000003.deadbeef" / "state", b"half")
    elsewhere.mkdir()
    with caplog.at_level(logging.WARNING):
        brought = bring_back(elsewhere, there)
    assert brought is not None
    assert (brought / "state").read_text() == "state 1"
    assert "passed over: state changed after it was written" in caplog.text


def test_a_store_that_takes_nothing_is_told_and_stops_no_training(
    tmp_path: Path, s3_account: str, caplog: pytest.LogCaptureFixture
) -> None:
    there = storage.store_root("s3://broken/a") / "checkpoints"
    with caplog.at_level(logging.WARNING), mirrored(tmp_path, there, TWO):
        save(tmp_path, 1)
    assert "is here and not in the store: cannot use s3://broken" in caplog.text
    assert steps(there) == []
