"""Whatever counts as a checkpoint is complete; everything else is passed over, by name."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from llada.training.checkpoint import (
    KEPT,
    Checkpoints,
    claim_folder,
    complete_checkpoints,
    write_once,
)
from llada.training.errors import CheckpointError


@pytest.fixture(scope="module", autouse=True)
def process_group() -> Iterator[None]:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class Counter:
    """Stands where the engine stands: one number, one file."""

    value = 0

    def save(self, folder: Path) -> None:
        (folder / "state").mkdir()
        (folder / "state" / "zero_pp_rank_0_mp_rank_00_optim_states.pt").write_text(str(self.value))

    def load(self, folder: Path) -> None:
        self.value = int((folder / "state/zero_pp_rank_0_mp_rank_00_optim_states.pt").read_text())


def save(root: Path, *steps: int) -> list[Path]:
    checkpoints, state = Checkpoints(root), Counter()
    folders = []
    for step in steps:
        state.value = step
        folders.append(checkpoints.save(step, state.save).folder)
    return folders


def restored(root: Path) -> int:
    state = Counter()
    found = Checkpoints(root).restore(state.load)
    assert (found.step if found else 0) == state.value
    return state.value


def damage(folder: Path, how: str) -> None:
    file = folder / "state" / "zero_pp_rank_0_mp_rank_00_optim_states.pt"
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
    assert sorted(tmp_path.glob("step-*")) == sorted(folders[-KEPT:])


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
    again = checkpoints.save(200, state.save).folder
    assert sorted(tmp_path.glob("step-*")) == sorted([first, again])


def test_a_crash_while_writing_leaves_nothing_that_counts(tmp_path: Path) -> None:
    save(tmp_path, 100)

    def crash(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Checkpoints(tmp_path).save(200, crash)
    assert restored(tmp_path) == 100
    save(tmp_path, 200)  # the next attempt has a folder of its own, then clears the torn one
    assert restored(tmp_path) == 200
    assert len(list(tmp_path.glob("step-000200.*"))) == 1


def test_another_number_of_workers_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (folder,) = save(tmp_path, 100)
    claim = json.loads((folder / "COMPLETE.json").read_bytes())
    (folder / "COMPLETE.json").write_text(json.dumps({**claim, "world_size": 4}))
    with pytest.raises(CheckpointError, match=r"written by 4 workers, this run has 1.*workers=4"):
        restored(tmp_path)


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
