"""Training on Ray survives what happens to real runs, and ends in the same weights."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from ray.util import placement_group_table

from llada.training.errors import CheckpointError, TrainingError
from llada.training.job import StepMetrics, TrainingJob, TrainingReport
from llada.training.ray_entry import STALL_SECONDS, train
from llada.training.record import read_metrics
from tests.llada_training.plain import train_plainly
from tests.llada_training.tiny import SEQ_LEN, job, training, write_shard

STEPS = 60
SEED = int(os.environ.get("LLADA_KILL_SEED", "0"))

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_session"),
    pytest.mark.filterwarnings("default"),  # Ray's own, in the driver
]


def make_job(folder: Path) -> TrainingJob:
    return job(folder, training(steps=STEPS, checkpoint_every=7))


def run(
    job: TrainingJob,
    on_metrics: Callable[[StepMetrics], None],
    *,
    max_failures: int = 0,
    workers: int = 2,
    stall_seconds: float = STALL_SECONDS,
) -> TrainingReport:
    return train(
        job,
        workers=workers,
        cpus_per_worker=1,
        run_name="test",
        scratch=Path(job.checkpoint_dir).parent / "scratch",
        max_failures=max_failures,
        on_metrics=on_metrics,
        stall_seconds=stall_seconds,
    )


def weights(job: TrainingJob) -> bytes:
    return (Path(job.output_dir) / "model.safetensors").read_bytes()


def losses(report: TrainingReport) -> list[float]:
    return [m.loss for m in read_metrics(Path(report.metrics_path), STEPS)]


def assert_like_undisturbed(
    job: TrainingJob, report: TrainingReport, undisturbed: tuple[TrainingJob, list[float]]
) -> None:
    assert losses(report) == undisturbed[1]
    assert weights(job) == weights(undisturbed[0])


def own_processes(called: str) -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if called in title(p)]


def own_workers() -> list[psutil.Process]:
    return own_processes("RayTrainWorker")


def moment_to_kill(name: str) -> int:
    step = random.Random(f"{SEED}-{name}").randrange(5, 40)
    print(f"LLADA_KILL_SEED={SEED}: kill {name} when step {step} is heard of")
    return step


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, ray_session: None
) -> tuple[TrainingJob, list[float]]:
    whole = make_job(tmp_path_factory.mktemp("undisturbed"))
    heard: list[int] = []
    report = run(whole, lambda metrics: heard.append(metrics.step))
    assert heard == list(range(STEPS))
    assert (report.steps, report.resumed_at, report.restarts) == (STEPS, 0, 0)
    return whole, losses(report)


def test_two_workers_follow_plain_torch(undisturbed: tuple[TrainingJob, list[float]]) -> None:
    whole, found = undisturbed
    expected, _, _ = train_plainly(whole)
    assert found[:12] == pytest.approx(expected[:12], rel=2e-4)


def test_a_kill_of_a_worker_then_resume_is_bit_equal(
    tmp_path: Path, undisturbed: tuple[TrainingJob, list[float]]
) -> None:
    victim_job, step = make_job(tmp_path), moment_to_kill("worker")
    heard: list[int] = []

    def kill_one(metrics: StepMetrics) -> None:
        heard.append(metrics.step)
        if metrics.step == step:
            random.Random(SEED).choice(own_workers()).kill()

    report = run(victim_job, kill_one, max_failures=2)
    assert report.restarts == 1
    assert heard == list(range(STEPS))
    assert_like_undisturbed(victim_job, report, undisturbed)


def test_a_kill_of_the_controller_then_resume_is_bit_equal(
    tmp_path: Path, undisturbed: tuple[TrainingJob, list[float]]
) -> None:
    victim_job, step = make_job(tmp_path), moment_to_kill("controller")
    heard: list[int] = []

    def kill_it(metrics: StepMetrics) -> None:
        heard.append(metrics.step)
        if metrics.step == step:
            (process,) = own_processes("ray::TrainController")
            process.kill()

    report = run(victim_job, kill_it, max_failures=1)
    assert report.restarts == 1
    assert heard == list(range(STEPS))
    assert_like_undisturbed(victim_job, report, undisturbed)
    assert not reserved()


def reserved() -> list[str]:
    """Return the placement groups that still hold room."""
    table = placement_group_table().values()
    return [group["placement_group_id"] for group in table if group["state"] != "REMOVED"]


def test_a_frozen_worker_is_noticed_in_time_killed_and_resumed_bit_equal(
    tmp_path: Path, undisturbed: tuple[TrainingJob, list[float]], caplog: pytest.LogCaptureFixture
) -> None:
    victim_job, step = make_job(tmp_path), moment_to_kill("frozen worker")
    frozen: list[psutil.Process] = []
    gone_after: list[float] = []

    def wait_for_the_end() -> None:
        began = time.monotonic()
        frozen[0].wait(timeout=200)
        gone_after.append(time.monotonic() - began)

    waiting = threading.Thread(target=wait_for_the_end)

    def freeze_one(metrics: StepMetrics) -> None:
        if metrics.step == step:
            frozen.append(random.Random(SEED).choice(own_workers()))
            frozen[0].suspend()
            waiting.start()

    report = run(victim_job, freeze_one, max_failures=2, stall_seconds=8)
    waiting.join()
    print(f"frozen at step {step}, ended {gone_after[0]:.0f} s later")
    assert gone_after[0] < 8 + 15  # so the default is noticed within a minute
    assert STALL_SECONDS + 15 <= 60
    assert report.restarts == 1
    assert "stood still for 8 s" in caplog.text
    assert_like_undisturbed(victim_job, report, undisturbed)


@pytest.mark.parametrize("what", ["driver", "node"])
def test_a_kill_of_the_driver_or_of_everything_then_resume_is_bit_equal(
    what: str, tmp_path: Path, undisturbed: tuple[TrainingJob, list[float]]
) -> None:
    victim_job, step = make_job(tmp_path), moment_to_kill(what)
    (tmp_path / "job.json").write_text(victim_job.model_dump_json())
    command = [sys.executable, "-m", "tests.llada_training.driver"]
    driver = subprocess.Popen(
        [*command, str(tmp_path / "job.json"), str(tmp_path / "scratch")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert driver.stdout is not None
    lines = []
    for line in driver.stdout:
        lines.append(line)
        if line.strip() == str(step):
            break
    else:
        pytest.fail(f"the driver ended by itself: {''.join(lines)[-3000:]}")
    # A node that loses power takes Ray's own processes and the workers with it.
    dying = psutil.Process(driver.pid).children(recursive=True) if what == "node" else []
    driver.send_signal(signal.SIGKILL)
    for process in dying:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    driver.communicate()
    assert not Path(victim_job.output_dir).exists()
    heard: list[int] = []
    report = run(victim_job, lambda metrics: heard.append(metrics.step))
    # Every seventh step has a checkpoint; the newest may have been under way.
    assert report.resumed_at >= step // 7 * 7 - 7
    assert report.resumed_at % 7 == 0 or report.resumed_at == STEPS
    assert heard == list(range(STEPS))
    assert_like_undisturbed(victim_job, report, undisturbed)


def test_an_exception_of_the_listener_stops_the_workers(tmp_path: Path) -> None:
    def stop(metrics: StepMetrics) -> None:
        raise KeyError(metrics.step)

    with pytest.raises(KeyError):
        run(make_job(tmp_path), stop)
    _, alive = psutil.wait_procs(own_workers(), timeout=20)
    assert not alive
    assert not reserved()


def title(process: psutil.Process) -> str:
    """The command line of a process, '' of one that has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_a_failing_worker_says_what_to_do(tmp_path: Path) -> None:
    table = pa.table({"input_ids": pa.array([[64] * SEQ_LEN] * 8, pa.list_(pa.uint16(), SEQ_LEN))})
    wrong = make_job(tmp_path).model_copy(
        update={"shards": (write_shard(tmp_path / "wrong.arrow", table),)}
    )
    with pytest.raises(TrainingError, match=r"(?s)token id 64 in the data.*run again"):
        run(wrong, lambda metrics: None)


def test_another_job_is_refused_before_any_worker(
    undisturbed: tuple[TrainingJob, list[float]],
) -> None:
    other = undisturbed[0].model_copy(update={"training": training(steps=STEPS + 1)})
    with pytest.raises(CheckpointError, match="another job: training was"):
        run(other, lambda metrics: None)


def test_another_number_of_workers_goes_on_from_the_checkpoint(
    tmp_path: Path, undisturbed: tuple[TrainingJob, list[float]]
) -> None:
    alone = make_job(tmp_path)
    shutil.copytree(undisturbed[0].checkpoint_dir, alone.checkpoint_dir)
    (last,) = Path(alone.checkpoint_dir).glob("step-000060.*")
    shutil.rmtree(last)
    report = run(alone, lambda metrics: None, workers=1)
    assert (report.resumed_at, report.restarts) == (56, 0)
    assert losses(report) == pytest.approx(undisturbed[1], rel=1e-5)
