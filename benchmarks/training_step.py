"""A training step of ours beside the same step written plainly, in time, memory and, on a GPU, MFU.

    python -m benchmarks.training_step [--vocab 32768 126464] [--rounds 5] [--threads 1]
    python -m benchmarks.training_step --device cuda --preset llada-1b --batch 4 --length 4096 \
        [--compile] [--accumulation 8] [--checkpoint-activations] [--peak-tflops 989] [--skip-plain]

Both sides train one model on one noisy batch: forward, loss (Eq. 3), backward, AdamW. Ours sends
the masked rows alone through the head, some at a time; the plain step computes all logits, then
takes those of the masked rows, as the published guidelines do. Rounds alternate in one process; on
a CPU times are CPU times, and peak memory is taken in a process for each side, beyond what model,
gradients and optimizer hold anyway. With `--accumulation`, so many batches make a step, their
gradients added up in float32: the paper's global batch of 1280 at 4 a GPU is 10 on 32 GPUs.

MFU is the FLOPs that a token needs, times tokens a second, over the peak rate. A token needs
6 N + 12 * layers * d * L (attention is bidirectional, so it counts in full) + 6 * d * V for the
head: first with the head on every row, as other code bases count, then with the head on the masked
rows alone, which is the work that we do. Embeddings and recomputation never count. 989 is the dense
bfloat16 rate of an H100 or H200, in TFLOP/s; twice as much is for sparse weights.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from llada.config import ModelConfig
from llada.diffusion import corrupt, mask_probability, weighted_masked_loss
from llada.model import MaskPredictor
from llada.training.flops import model_flops_per_token


@dataclass(frozen=True)
class Batch:
    clean_BL: Tensor
    noisy_BL: Tensor
    masked_BL: Tensor
    weight_BL: Tensor


def ours(model: MaskPredictor, batch: Batch) -> Tensor:
    total = weighted_masked_loss(
        model, batch.noisy_BL, batch.clean_BL, batch.masked_BL, batch.weight_BL
    )
    return total / batch.clean_BL.numel()


def plain(model: MaskPredictor, batch: Batch) -> Tensor:
    logits_BLV = model(batch.noisy_BL)
    masked = batch.masked_BL
    losses = F.cross_entropy(logits_BLV[masked].float(), batch.clean_BL[masked], reduction="none")
    return (losses * batch.weight_BL[masked]).sum() / batch.clean_BL.numel()


Loss = Callable[[Any, Batch], Tensor]  # of whatever model the trainer holds
SIDES: dict[str, Loss] = {"ours": ours, "plain": plain}


class Trainer:
    """One model with AdamW; on a GPU, weights in bfloat16 and their masters in float32."""

    def __init__(self, config: ModelConfig, options: argparse.Namespace) -> None:
        self.device = torch.device(options.device)
        torch.manual_seed(0)
        with self.device:  # where a billion weights are drawn in no time
            model = MaskPredictor(config)
        model.checkpoint_activations = options.checkpoint_activations
        if options.compile:
            for block in model.model.transformer.blocks:
                block.compile()
        self.batch = noisy(config, options.batch, options.length, self.device)
        self.take(model, options.accumulation)

    def take(self, model: nn.Module, accumulation: int) -> None:
        """Train this model, whose weights become bfloat16 on a GPU."""
        self.model, self.accumulation = model, accumulation
        self.masters = [weight.detach().float().clone() for weight in model.parameters()]
        self.optimizer = torch.optim.AdamW(self.masters, lr=1e-5, weight_decay=0.1, fused=True)
        if self.device.type == "cuda":
            model.to(torch.bfloat16)

    def step(self, loss_of: Loss) -> float:
        """Return the loss before the step, which is read only after all work is queued."""
        weights = list(self.model.parameters())
        for _ in range(self.accumulation):
            loss = loss_of(self.model, self.batch) / self.accumulation
            loss.backward()
            for master, weight in zip(self.masters, weights, strict=True):
                assert weight.grad is not None
                if master.grad is None:
                    master.grad = weight.grad.float()
                else:
                    master.grad += weight.grad
                weight.grad = None
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_copy_(weights, self.masters)
        return float(loss.detach()) * self.accumulation

    def timed(self, loss_of: Loss) -> float:
        clock = time.process_time if self.device.type == "cpu" else time.perf_counter
        self.wait()
        start = clock()
        self.step(loss_of)
        self.wait()
        return clock() - start

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def noisy(config: ModelConfig, batch: int, length: int, device: torch.device) -> Batch:
    """Return a batch whose times are spread evenly, so that half of it is masked."""
    rng = torch.Generator().manual_seed(1)
    clean_BL = torch.randint(5, config.vocab_size, (batch, length), generator=rng)
    t_B = (torch.arange(batch) + 0.5) / batch
    noisy_BL, masked_BL = corrupt(clean_BL, t_B, mask_id=config.mask_token_id, rng=rng)
    weight_BL = (1 / mask_probability(t_B))[:, None].expand(batch, length)
    return Batch(*(part.to(device) for part in (clean_BL, noisy_BL, masked_BL, weight_BL)))


def same(config: ModelConfig, options: argparse.Namespace) -> None:
    """Stop unless both sides compute one loss and one gradient."""
    trainer = Trainer(config, options)
    found = {}
    for side, loss_of in SIDES.items():
        loss = loss_of(trainer.model, trainer.batch)
        loss.backward()
        gradient = torch.cat([p.grad.flatten().float() for p in trainer.model.parameters()])
        found[side] = (loss.detach().float(), gradient)
        trainer.model.zero_grad()
    tolerance = 1e-3 if options.device == "cpu" else 3e-2
    (loss, gradient), (other_loss, other) = found.values()
    torch.testing.assert_close(loss, other_loss, rtol=tolerance, atol=0)
    assert (gradient - other).norm() < tolerance * other.norm()


def peak(trainer: Trainer, options: argparse.Namespace, config: ModelConfig, side: str) -> int:
    """Return the bytes that a step holds beyond model and optimizer."""
    if options.device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        trainer.step(SIDES[side])
        return torch.cuda.max_memory_allocated() - before
    command = [sys.executable, "-m", "benchmarks.training_step", "--memory-of", side]
    command += ["--vocab", str(config.vocab_size), "--batch", str(options.batch)]
    command += ["--length", str(options.length), "--threads", str(options.threads)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory_of(side: str, config: ModelConfig, options: argparse.Namespace) -> int:
    """Measure this very process: its peak, less what it holds before the step and then keeps."""
    trainer = Trainer(config, options)
    for weight, master in zip(trainer.model.parameters(), trainer.masters, strict=True):
        weight.grad = torch.ones_like(weight)
        trainer.optimizer.state[master] = {
            "step": torch.tensor(0.0),
            "exp_avg": torch.ones_like(master),
            "exp_avg_sq": torch.ones_like(master),
        }
    with open("/proc/self/statm") as statm:
        held = int(statm.read().split()[1]) * resource.getpagesize()
    trainer.step(SIDES[side])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - held


def cpu_config(vocab: int, length: int) -> ModelConfig:
    """Return a body of 27 M weights under a vocabulary of the size of real ones."""
    return ModelConfig(
        d_model=512,
        n_layers=8,
        n_heads=8,
        n_kv_heads=8,
        ffn_hidden=1536,
        vocab_size=vocab,
        max_sequence_length=length,
        mask_token_id=4,
        eos_token_id=1,
    )


def report(config: ModelConfig, options: argparse.Namespace) -> None:
    sides = ["ours"] if options.skip_plain else list(SIDES)
    if not options.skip_plain:
        same(config, options)
    trainer = Trainer(config, options)
    tokens = options.batch * options.length * options.accumulation
    masked = float(trainer.batch.masked_BL.float().mean())
    print(
        f"{config.parameter_count() / 1e6:.0f} M weights, vocabulary {config.vocab_size}, batch "
        f"{options.batch} x {options.length}, {options.accumulation} a step, {masked:.0%} masked, "
        f"{torch.cuda.get_device_name() if options.device == 'cuda' else 'CPU'}",
        flush=True,
    )
    for side in sides:
        trainer.timed(SIDES[side])
    times = {side: [] for side in sides}
    for _ in range(options.rounds):
        for side in sides:
            times[side].append(trainer.timed(SIDES[side]))
    for side in sides:
        seconds = statistics.median(times[side])
        line = f"  {side:<6}{seconds:8.3f} s a step  {tokens / seconds:10.0f} tokens/s"
        line += f"  peak +{peak(trainer, options, config, side) / 1e9:.2f} GB"
        if options.device == "cuda":
            for share in (1.0, masked):
                flops = model_flops_per_token(config, options.length, head_share=share)
                mfu = flops * tokens / seconds / options.peak_tflops / 1e12
                line += f"  MFU {mfu:.1%} (head on {share:.0%} of rows)"
        print(line, flush=True)
    if not options.skip_plain:
        pairs = [b / a for a, b in zip(times["ours"], times["plain"], strict=True)]
        print(f"  plain / ours: {statistics.median(pairs):.2f} ({min(pairs):.2f}-{max(pairs):.2f})")


def add_options(parser: argparse.ArgumentParser, *, rounds: int) -> None:
    """Add what every benchmark of a training step is told."""
    parser.add_argument("--preset", help="a model of llada.config instead of the CPU's own")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--accumulation", type=int, default=1, help="batches a step")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--peak-tflops", type=float, default=989.0)


def config_of(options: argparse.Namespace, vocab: int = 32_768) -> ModelConfig:
    return (
        ModelConfig.preset(options.preset) if options.preset else cpu_config(vocab, options.length)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser, rounds=5)
    parser.add_argument("--vocab", type=int, nargs="+", default=[32_768, 126_464])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint-activations", action="store_true")
    parser.add_argument("--skip-plain", action="store_true")
    parser.add_argument("--memory-of", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for vocab in options.vocab[:1] if options.preset else options.vocab:
        config = config_of(options, vocab)
        if options.memory_of:
            print(memory_of(options.memory_of, config, options))
        else:
            report(config, options)


if __name__ == "__main__":
    main()
