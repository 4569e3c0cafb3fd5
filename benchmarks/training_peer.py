"""Our training step beside dLLM's, on one device, one batch and the same arithmetic of AdamW.

    python -m benchmarks.training_peer --dllm FOLDER [--device cuda --preset llada-1b --batch 4 \
        --length 4096 --accumulation 4 --compile]

FOLDER is `dllm/pipelines/llada/models` of github.com/ZHZisZZ/dllm, as a package of any name: its
model runs as published. Its loss is that of its `MDLMTrainer.compute_loss`: cross-entropy of all
logits against the clean ids, weighted, then cut to the masked ones. It runs uncompiled, as that
trainer does by default; ours as asked. Rounds alternate.
"""

import argparse
import importlib
import statistics
import sys
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.training_step import Batch, Trainer, add_options, config_of, ours
from llada import layouts
from llada.config import ModelConfig
from llada.training.flops import model_flops_per_token


class Published(nn.Module):
    """dLLM's model behind the one call that a step makes."""

    def __init__(self, folder: Path, config: ModelConfig) -> None:
        super().__init__()
        sys.path.insert(0, str(folder.absolute().parent))
        modelling = importlib.import_module(f"{folder.name}.modeling_llada")
        known = {field.name for field in fields(modelling.ModelConfig)}
        settings = layouts.published(config).items()
        theirs = modelling.ModelConfig(**{k: v for k, v in settings if k in known})
        theirs.init_device = "meta"
        self.inner = modelling.LLaDAModel(theirs, init_params=False)

    def forward(self, ids_BL: Tensor) -> Tensor:
        logits_BLV: Tensor = self.inner(ids_BL).logits
        return logits_BLV


def dllm(model: nn.Module, batch: Batch) -> Tensor:
    logits_BLV = model(batch.noisy_BL)
    losses_BL = F.cross_entropy(logits_BLV.transpose(1, 2), batch.clean_BL, reduction="none")
    weighted_BL = losses_BL * batch.weight_BL * batch.masked_BL.to(losses_BL.dtype)
    return weighted_BL.float().sum() / batch.clean_BL.numel()


class Peer(Trainer):
    """The same step with another model and loss."""

    def __init__(self, folder: Path, other: Trainer, config: ModelConfig) -> None:
        self.device, self.batch = other.device, other.batch
        model = Published(folder, config)
        model.inner.load_state_dict(
            {name: weight.clone() for name, weight in other.model.model.state_dict().items()},
            assign=True,
        )
        self.take(model, other.accumulation)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dllm", type=Path, required=True)
    add_options(parser, rounds=3)
    options = parser.parse_args()
    options.checkpoint_activations = False
    config = config_of(options)
    mine = Trainer(config, options)
    peer = Peer(options.dllm, mine, config)
    sides = {"ours": (mine, ours), "dllm": (peer, dllm)}
    losses = {side: trainer.step(loss_of) for side, (trainer, loss_of) in sides.items()}
    print(f"losses of the first step: {losses}", flush=True)
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(options.rounds):
        for side, (trainer, loss_of) in sides.items():
            times[side].append(trainer.timed(loss_of))
    tokens = options.batch * options.length * options.accumulation
    for side, (trainer, loss_of) in sides.items():
        seconds = statistics.median(times[side])
        line = f"  {side:<6}{seconds:8.3f} s a step  {tokens / seconds:10.0f} tokens/s"
        if options.device == "cuda":
            flops = model_flops_per_token(config, options.length) * tokens / seconds
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            trainer.step(loss_of)
            grown = (torch.cuda.max_memory_allocated() - before) / 1e9
            line += f"  MFU {flops / options.peak_tflops / 1e12:.1%}  peak +{grown:.1f} GB"
        print(line, flush=True)
    pairs = [b / a for a, b in zip(times["ours"], times["dllm"], strict=True)]
    print(f"  dllm / ours: {statistics.median(pairs):.2f} ({min(pairs):.2f}-{max(pairs):.2f})")


if __name__ == "__main__":
    main()
