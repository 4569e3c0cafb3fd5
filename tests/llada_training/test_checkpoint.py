"""Whatever counts as a checkpoint is complete; everything else is passed over, by name."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch.distributed as dist
import xxhash
from torch._C._distributed_c10d import HashStore

from llada.training.checkpoint import (
    Checkpoints,
    Write,
    claim_folder,
    complete_checkpoints,
    write_once,
)
from llada.training.errors import CheckpointError
from llada.training.retention import RetentionConfig

STATE = "state-00000.safetensors"
TWO = RetentionConfig(last=2)


@pytest.fixture(scope="module", autouse=True)
def process_group() -> Iterator[None]:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class Counter:
    """Stands where the engine stands: one number, one file."""

    value = 0

    def snapshot(self) -> Callable[[Path], list[Path]]:
        text = str(self.value)

        def write(folder: Path) -> list[Path]:
            (folder / STATE).write_text(text)
            return [folder / STATE]

        return write

    def load(self, folder: Path) -> None:
        self.value = int((folder / STATE).read_text())


def save(root: Path, *steps: int, retention: RetentionConfig = TWO, each: int = 10) -> list[Path]:
    """Save every step in `steps`, at `each` tokens a step."""
    checkpoints, state = Checkpoints(root, retention), Counter()
    folders = []
    for step in steps:
        state.value = step
        checkpoints.save(step, state.snapshot, tokens=step * each)
        last = checkpoints.wait()
        assert last is not None
        assert last.tokens == step * each
        folders.append(last.folder)
    return folders


def restored(root: Path) -> int:
    state = Counter()
    found = Checkpoints(root).restore(state.load)
    assert (found.step if found else 0) == state.value
    return state.value


def damage(folder: Path, how: str) -> None:
    file = folder / STATE
    if how == "truncated":
        file.write_text("")
    elif how == "changed":
        file.write_text("7" * len(file.read_text()))
    elif how == "missing":
        file.unlink()
    elif how == "manifest":
        (folder / "MANIFEST.0.json").write_text("{}")
    elif how == "incomplete":
        (folder / "COMPLETE.json").unlink()
    else:
        (folder / "COMPLETE.json").write_text("{")


def test_an_empty_folder_starts_at_the_beginning(tmp_path: Path) -> None:
    assert restored(tmp_path / "nothing") == 0


def test_the_newest_is_loaded_and_two_are_kept(tmp_path: Path) -> None:
    folders = save(tmp_path, 100, 200, 300, 1_000_000)
    assert restored(tmp_path) == 1_000_000
    assert sorted(tmp_path.glob("step-*")) == sorted(folders[-2:])


@pytest.mark.parametrize(
    "how", ["truncated", "changed", "missing", "manifest", "incomplete", "unreadable"]
)
def test_a_damaged_checkpoint_is_named_and_passed_over(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, newest = save(tmp_path, 100, 200)
    damage(newest, how)
    with caplog.at_level(logging.WARNING):
        assert restored(tmp_path) == 100
    assert newest.name in caplog.text


def test_a_rejected_checkpoint_does_not_count_as_one_of_the_two(tmp_path: Path) -> None:
    first, second = save(tmp_path, 100, 200)
    damage(second, "changed")
    checkpoints, state = Checkpoints(tmp_path), Counter()
    checkpoints.restore(state.load)
    checkpoints.save(200, state.snapshot)
    again = checkpoints.wait()
    assert again is not None
    assert sorted(tmp_path.glob("step-*")) == sorted([first, again.folder])


def test_what_fails_in_the_background_is_raised_at_the_next_step(tmp_path: Path) -> None:
    save(tmp_path, 100)

    def crash(folder: Path) -> list[Path]:
        (folder / "half").write_text("x")
        raise OSError("disk full")

    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(200, lambda: crash)
    with pytest.raises(CheckpointError, match=r"disk full; make room.*run again"):
        checkpoints.wait()
    with pytest.raises(CheckpointError, match="disk full"):
        checkpoints.check()
    assert restored(tmp_path) == 100
    save(tmp_path, 200)  # the next attempt has a folder of its own, then clears the torn one
    assert restored(tmp_path) == 200
    assert len(list(tmp_path.glob("step-000200.*"))) == 1


def test_saving_returns_while_the_files_are_written_from_the_state_of_then(tmp_path: Path) -> None:
    checkpoints, state, go = Checkpoints(tmp_path), Counter(), threading.Event()
    state.value = 100

    def slow() -> Write:
        write = state.snapshot()

        def slowly(folder: Path) -> list[Path]:
            assert go.wait(timeout=20)
            return write(folder)

        return slowly

    checkpoints.save(100, slow)
    state.value = 101  # training goes on
    assert complete_checkpoints(tmp_path) == []
    checkpoints.check()
    go.set()
    checkpoints.wait()
    assert restored(tmp_path) == 100


def test_another_format_is_named_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder,) = save(tmp_path, 100)
    claim = json.loads((folder / "COMPLETE.json").read_bytes())
    (folder / "COMPLETE.json").write_text(json.dumps({**claim, "format": "pickles"}))
    with caplog.at_level(logging.WARNING):
        assert restored(tmp_path) == 0
    assert f"{folder.name} is passed over: another format" in caplog.text


def test_a_damaged_file_of_any_former_rank_is_found(tmp_path: Path) -> None:
    """Three wrote, one reads: it answers for the files of all three."""
    (folder,) = save(tmp_path, 100)
    complete = json.loads((folder / "COMPLETE.json").read_bytes())
    for rank in (1, 2):
        (folder / f"MANIFEST.{rank}.json").write_text("{}")
        digest = xxhash.xxh3_128_hexdigest(b"{}")
        complete["manifests"][f"MANIFEST.{rank}.json"] = digest
    (folder / "COMPLETE.json").write_text(json.dumps({**complete, "world_size": 3}))
    assert restored(tmp_path) == 100
    (folder / "MANIFEST.2.json").write_text("{ }")
    assert restored(tmp_path) == 0


def test_milestones_and_the_best_stay_beside_the_last(tmp_path: Path) -> None:
    retention = RetentionConfig(last=1, every_tokens=1000, best=1)
    checkpoints = Checkpoints(tmp_path)
    for step, value in ((30, 2.0), (50, 1.5), (250, float("nan")), (85, 0.1)):
        checkpoints.mark(step, value)  # 85 is no checkpoint, and NaN is no virtue
    save(tmp_path, *range(30, 280, 20), retention=retention)
    found = sorted(c.step for c in complete_checkpoints(tmp_path))
    # At ten tokens a step: 110 is the first past 1000, 210 past 2000, 50 the best, 270 the last.
    assert found == [50, 110, 210, 270]


def test_complete_names_the_manifests_by_hash(tmp_path: Path) -> None:
    (folder,) = save(tmp_path, 100)
    claim = json.loads((folder / "COMPLETE.json").read_bytes())
    assert (claim["step"], claim["world_size"]) == (100, 1)
    assert list(claim["manifests"]) == ["MANIFEST.0.json"]
    assert complete_checkpoints(tmp_path)[0].folder == folder


def test_the_first_writer_wins(tmp_path: Path) -> None:
    write_once(tmp_path / "x.json", {"a": 1})
    write_once(tmp_path / "x.json", {"a": 2})
    assert json.loads((tmp_path / "x.json").read_bytes()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_belongs_to_one_job(tmp_path: Path) -> None:
    claim_folder(tmp_path, {"objective": "pretrain", "seed": 1})
    claim_folder(tmp_path, {"objective": "pretrain", "seed": 1})
    with pytest.raises(CheckpointError, match="another job: seed was 1, is 2"):
        claim_folder(tmp_path, {"objective": "pretrain", "seed": 2})
