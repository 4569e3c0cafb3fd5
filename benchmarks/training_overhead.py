"""What Ray Train, DeepSpeed and the record cost a step, and how long a restart takes.

    python benchmarks/training_overhead.py [--rounds 2] [--steps 10] [--rows 16]

Both sides train the same model on the same rows from the same seed, one worker, one thread, fp32:
a plain loop of torch (forward, backward, clip, AdamW), and a job under Ray, which also records
each step, beats and watches. Rounds alternate. Wall time suffers from whatever else the machine
does, CPU time of the thread that trains less: read the ratio of the latter where it is busy. What
the worker's other threads (Ray's, the signs of life) use beside it is told apart.
Then two workers train, one is killed with `kill -9`, and the time to the first new step is told.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil
import pyarrow as pa
import torch

from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.training.config import TrainingConfig
from llada.training.job import StepMetrics, TrainingJob
from llada.training.loop import open_data
from llada.training.objective import Objective
from llada.training.ray_entry import train
from llada.training.record import ATTEMPTS, METRICS
from llada.training.schedule import ScheduleConfig, warmup_stable_decay
from llada.training.shards import Shard
from pipelines.ray_node import start_ray, stop_ray

LENGTH, VOCABULARY = 256, 2048
WARM = 2  # steps before the clock starts
MODEL = ModelConfig(
    d_model=256,
    n_layers=4,
    n_heads=4,
    n_kv_heads=4,
    ffn_hidden=704,
    vocab_size=VOCABULARY,
    max_sequence_length=LENGTH,
    mask_token_id=4,
    eos_token_id=1,
)


class Cost(NamedTuple):
    """Seconds a step; `cpu` is the training thread's, `beside` that of its process's others."""

    wall: float
    cpu: float
    beside: float = 0.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--steps", type=int, default=10)
    arguments.add_argument("--rows", type=int, default=16, help="of 256 tokens, in one batch")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    start_ray()
    try:
        with tempfile.TemporaryDirectory(prefix="llada-overhead-") as folder:
            overhead(Path(folder), options.rounds, options.steps, options.rows)
            restart(Path(folder) / "restart")
    finally:
        stop_ray()


def overhead(folder: Path, rounds: int, steps: int, rows: int) -> None:
    plain, ours = [], []
    for number in range(rounds):
        job = make_job(folder / str(number), steps + WARM, rows, checkpoint_every=10**6)
        plain.append(plainly(job))
        ours.append(under_ray(job))
        for name, cost in (("plain torch", plain[-1]), ("Ray + DeepSpeed", ours[-1])):
            print(
                f"round {number}: {name}: {cost.wall:.3f} s wall, {cost.cpu:.3f} s CPU a step, "
                f"beside it {100 * cost.beside / cost.wall:.1f}% of a core"
            )
    for index, name in enumerate(("wall", "CPU")):
        ratios = [ray[index] / base[index] for ray, base in zip(ours, plain, strict=True)]
        told = ", ".join(f"{100 * (ratio - 1):+.1f}%" for ratio in ratios)
        print(f"overhead in {name}: {told}; median {100 * (statistics.median(ratios) - 1):+.1f}%")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def plainly(job: TrainingJob) -> Cost:
    config, data = job.training, open_data(job)
    model = MaskPredictor(job.model, rng=torch.Generator().manual_seed(config.seed))
    objective = Objective(model, chunk_rows=1024)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=config.betas, fused=True)
    for step in range(config.steps):
        if step == WARM:
            began, cpu = time.perf_counter(), time.thread_time()
        for group in optimizer.param_groups:
            group["lr"] = warmup_stable_decay(step, config.steps, config.schedule)
        optimizer.zero_grad()
        loss, _ = objective(*data.batch(step, range(config.batch_size)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        optimizer.step()
        loss.item()
    count = config.steps - WARM
    return Cost((time.perf_counter() - began) / count, (time.thread_time() - cpu) / count)


def under_ray(job: TrainingJob) -> Cost:
    """Train the job; look at the record, and at the worker's CPU time, each 5 ms."""
    seen: list[tuple[float, dict[int, float]]] = []
    over, metrics = threading.Event(), Path(job.checkpoint_dir) / METRICS

    def watch() -> None:
        worker = None
        while not over.wait(0.005):
            lines = metrics.read_bytes().count(b'"step"') if metrics.exists() else 0
            if lines > len(seen):
                worker = worker or workers()[0]
                cpu = {each.id: each.user_time + each.system_time for each in worker.threads()}
                seen.extend([(time.perf_counter(), cpu)] * (lines - len(seen)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        run(job, 1)
    finally:
        over.set()
        thread.join()
    (began, before), (ended, after) = seen[WARM - 1], seen[job.training.steps - 1]
    count = job.training.steps - WARM
    used = sorted((after[thread] - before.get(thread, 0.0)) / count for thread in after)
    return Cost((ended - began) / count, used[-1], sum(used[:-1]))


def restart(folder: Path) -> None:
    job = make_job(folder, steps=40, rows=2, checkpoint_every=5)
    attempts, killed, back = Path(job.checkpoint_dir) / ATTEMPTS, [0.0], [0.0]

    def listen(metrics: StepMetrics) -> None:
        if metrics.step == 12:
            workers()[0].kill()
            killed[0] = time.monotonic()

    def look() -> None:
        lines = attempts.read_text().split() if attempts.exists() else []
        if killed[0] and not back[0] and len(lines) > 1:
            back[0] = time.monotonic() - killed[0]

    run(job, 2, listen, look)
    print(
        f"a killed worker of two: {back[0]:.1f} s until the first new step began, load "
        f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


def run(job: TrainingJob, count: int, on_metrics=lambda _: None, on_poll=lambda: None) -> None:
    train(
        job,
        workers=count,
        cpus_per_worker=1,
        run_name="overhead",
        scratch=Path(job.checkpoint_dir).parent / "scratch",
        max_failures=2,
        on_metrics=on_metrics,
        on_poll=on_poll,
    )


def workers() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [p for p in found if "RayTrainWorker" in " ".join(p.cmdline())]


def make_job(folder: Path, steps: int, rows: int, checkpoint_every: int) -> TrainingJob:
    folder.mkdir(parents=True)
    ids = np.random.default_rng(0).integers(5, VOCABULARY, 512 * LENGTH).astype(np.uint16)
    table = pa.table({"input_ids": pa.FixedSizeListArray.from_arrays(pa.array(ids), LENGTH)})
    path = folder / "tokens.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    training = TrainingConfig(
        steps=steps,
        batch_size=rows,
        micro_batch_size=rows // 2 if rows == 2 else rows,
        precision="fp32",
        checkpoint_every=checkpoint_every,
        schedule=ScheduleConfig(peak=1e-3, warmup_steps=1, lower=None, final=1e-4),
    )
    return TrainingJob(
        objective="pretrain",
        model=MODEL,
        training=training,
        shards=(Shard(path=str(path), rows=512),),
        checkpoint_dir=str(folder / "checkpoints"),
        output_dir=str(folder / "model"),
    )


if __name__ == "__main__":
    main()
