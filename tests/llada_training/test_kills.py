"""One run of two ranks, killed seven times at random moments, ends as if nothing had happened.

Without Ray, whose part (worker, driver, node, a frozen worker) is in test_ray_entry.py: eleven real
`kill -9` in all. `LLADA_KILL_SEED` chooses the moments; it is printed.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llada.training.job import StepMetrics, TrainingJob
from llada.training.record import ATTEMPTS, METRICS, read_attempts, read_metrics
from pipelines import checkpoint_mirror, storage
from pipelines.checkpoint_mirror import in_store, mirrored
from tests.llada_training.ranks import Rank, run_ranks, started
from tests.llada_training.tiny import job, training

STEPS = 120
SEED = int(os.environ.get("LLADA_KILL_SEED", "0"))
KILLS = ("rank", "write", "all", "write", "rank", "write", "all")
Ranks = list[Rank]


def make_job(folder: Path) -> TrainingJob:
    return job(folder, training(steps=STEPS, checkpoint_every=3, zero_stage=2))


def steps_done(job: TrainingJob) -> int:
    metrics = Path(job.checkpoint_dir) / METRICS
    return metrics.read_bytes().count(b'"step"') if metrics.exists() else 0


def torn(job: TrainingJob) -> set[Path]:
    """Folders of checkpoints that are begun and not complete."""
    begun = Path(job.checkpoint_dir).glob("step-*")
    return {folder for folder in begun if not (folder / "COMPLETE.json").exists()}


def wait_until(condition: Callable[[], object], ranks: Ranks, every: float = 0.001) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        if any(rank.code() is not None for rank in ranks):
            pytest.fail(f"a rank ended by itself: {[rank.said() for rank in ranks]}")
        assert time.monotonic() < deadline, "the moment to kill never came"
        time.sleep(every)


def send(ranks: Ranks, number: signal.Signals) -> None:
    for rank in ranks:
        rank.send(number)


def kill_during_a_write(job: TrainingJob, ranks: Ranks, before: set[Path]) -> Path:
    """Stop all ranks while a checkpoint is written, make sure that it still is, and kill."""
    while True:
        wait_until(lambda: torn(job) - before, ranks)
        send(ranks, signal.SIGSTOP)
        if caught := torn(job) - before:
            send(ranks, signal.SIGKILL)
            return caught.pop()
        send(ranks, signal.SIGCONT)


def kill_once(job: TrainingJob, how: str, rng: random.Random, folder: Path) -> str:
    begun, before = steps_done(job), torn(job) if Path(job.checkpoint_dir).exists() else set()
    wait, delay, chosen = rng.randrange(3, 12), rng.random() * 0.02, rng.randrange(2)
    with started(2, [job], folder) as ranks:
        wait_until(lambda: steps_done(job) >= begun + wait, ranks)
        if how == "write":
            caught = kill_during_a_write(job, ranks, before)
            assert not (caught / "COMPLETE.json").exists()
            return f"both ranks while {caught.name} was written"
        time.sleep(delay)
        send([ranks[chosen]] if how == "rank" else ranks, signal.SIGKILL)
        return f"{f'rank {chosen}' if how == 'rank' else 'both ranks'} at step {steps_done(job)}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    """The same run, undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    made = make_job(folder / "whole")
    run_ranks(2, [made], folder)
    return made


@pytest.mark.slow
def test_a_run_killed_seven_times_and_resumed_is_bit_equal(
    tmp_path: Path, whole: TrainingJob
) -> None:
    victim = make_job(tmp_path / "victim")
    rng = random.Random(SEED)
    for number, how in enumerate(KILLS, 1):
        did = kill_once(victim, how, rng, tmp_path)
        print(f"LLADA_KILL_SEED={SEED}: kill {number} of {len(KILLS)}: {did}")
    assert not Path(victim.output_dir).exists()
    run_ranks(2, [victim], tmp_path)
    attempts = read_attempts(Path(victim.checkpoint_dir) / ATTEMPTS, "test")
    assert len(attempts) == len(KILLS) + 1
    assert all(attempt.first_step % 3 == 0 for attempt in attempts)
    assert [m.loss for m in history(victim)] == [m.loss for m in history(whole)]
    assert weights(victim) == weights(whole)


@pytest.mark.slow
def test_a_kill_that_takes_the_disk_too_then_resume_from_a_bucket_is_bit_equal(
    tmp_path: Path, whole: TrainingJob, s3_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_mirror, "LOOK_SECONDS", 0.1)  # the whole run takes seconds
    bucket = storage.store_root(s3_store) / "pretrain" / "k" / "checkpoints"
    lost, moved = make_job(tmp_path / "lost"), make_job(tmp_path / "moved")
    least = random.Random(f"{SEED}-disk").randrange(3, 60)
    with mirrored(Path(lost.checkpoint_dir), bucket, lost.retention):
        with started(2, [lost], tmp_path) as ranks:
            wait_until(lambda: any(each.step >= least for each in in_store(bucket)), ranks, 0.1)
            send(ranks, signal.SIGKILL)
        shutil.rmtree(tmp_path / "lost")
    newest = in_store(bucket)[0].step
    print(f"LLADA_KILL_SEED={SEED}: both ranks and the disk; the bucket holds step {newest}")
    with mirrored(Path(moved.checkpoint_dir), bucket, moved.retention):
        run_ranks(2, [moved], tmp_path)
    (attempt,) = read_attempts(Path(moved.checkpoint_dir) / ATTEMPTS, "test")
    assert least <= attempt.first_step == newest < STEPS
    assert [m.loss for m in history(moved)] == [m.loss for m in history(whole)]
    assert weights(moved) == weights(whole)
    assert in_store(bucket)[0].step == STEPS


def history(job: TrainingJob) -> list[StepMetrics]:
    return read_metrics(Path(job.checkpoint_dir) / METRICS, STEPS)


def weights(job: TrainingJob) -> bytes:
    return (Path(job.output_dir) / "model.safetensors").read_bytes()
