"""The step of a training job, DeepSpeed at a ZeRO stage and all, on this machine's device.

    python -m benchmarks.training_engine [--stages 1 2 3] [--device cuda --preset llada-1b \
        --batch 4 --length 4096 --accumulation 8 --compile]

One rank takes the same noisy batch again and again: forward, loss, backward, sums of losses by t,
clipping, AdamW on float32 masters. Compare with `benchmarks.training_step`, the same step without
an engine. Each stage runs in a process of its own, because DeepSpeed keeps what it allocates. The
copy of the state to the host is all that a checkpoint holds a run up for; the first takes the
memory too. MFU as told there.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time

import torch
import torch.distributed as dist

from benchmarks.training_step import add_options, config_of, noisy
from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.training.batch import Batch
from llada.training.config import TrainingConfig
from llada.training.engine import Engine
from llada.training.flops import model_flops_per_token


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", type=int, nargs="+", default=[1, 2, 3])
    add_options(parser, rounds=3)
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        measure(options, options.only)
        return
    for stage in options.stages:
        command = [sys.executable, "-m", "benchmarks.training_engine", *sys.argv[1:]]
        done = subprocess.run([*command, "--only", str(stage)], check=False)
        if done.returncode:
            print(f"ZeRO-{stage} failed with {done.returncode}", flush=True)


def measure(options: argparse.Namespace, stage: int) -> None:
    on_gpu = options.device == "cuda"
    alone_in_a_group("nccl" if on_gpu else "gloo")
    torch.manual_seed(0)
    config = config_of(options)
    with torch.device(options.device):  # where a billion weights are drawn in no time
        model = MaskPredictor(config)
    batches = micro_batches(config, options)
    training = TrainingConfig(
        steps=10**6,
        batch_size=options.batch * options.accumulation,
        micro_batch_size=options.batch,
        zero_stage=stage,
        precision="bf16" if on_gpu else "fp32",
        compile=options.compile and stage != 3,
    )
    engine = Engine(model, training, accumulation=options.accumulation)
    timed(engine, batches)
    seconds = statistics.median(timed(engine, batches) for _ in range(options.rounds))
    copied = []
    for _ in range(3):
        start = time.perf_counter()
        engine.snapshot()
        copied.append(time.perf_counter() - start)
    tokens = options.batch * options.length * options.accumulation
    line = f"ZeRO-{stage} {seconds:8.3f} s a step  {tokens / seconds:9.0f} tokens/s"
    if on_gpu:
        flops = model_flops_per_token(config, options.length) * tokens / seconds
        line += f"  MFU {flops / options.peak_tflops / 1e12:.1%} (head on 100% of rows)"
        line += f"  peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB in all"
    print(f"{line}  state copied in {copied[0]:.2f} s, then {copied[2]:.2f}", flush=True)
    dist.destroy_process_group()


def alone_in_a_group(backend: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group(backend)


def micro_batches(config: ModelConfig, options: argparse.Namespace) -> list[Batch]:
    """Return the batch of `training_step`, as often as a step takes; its weights are normalised."""
    found = noisy(config, options.batch, options.length, torch.device("cpu"))
    positions = found.clean_BL.numel() * options.accumulation
    one = Batch(
        found.noisy_BL,
        found.clean_BL,
        found.masked_BL,
        found.weight_BL / positions,
        None,
        torch.full((options.batch,), 0.5),
    )
    return [one] * options.accumulation


def timed(engine: Engine, batches: list[Batch]) -> float:
    start = time.perf_counter()
    found = engine.step(batches, 1e-5)
    assert found.loss > 0  # read from the device: the work is done
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
