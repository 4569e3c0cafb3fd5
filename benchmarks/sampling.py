"""Sampling beside the official loop, on the same untrained model of 100 M weights, on a CPU.

    python benchmarks/sampling.py [--peer generate.py] [--timed-steps 16] [--threads 1] [--quick]

The peer is the `generate.py` of LLaDA's repository (github.com/ML-GSAI/LLaDA), read from the path
given; without it, the paper's Algorithm 5 as a plain loop that, like the official one, puts all
positions through the head and through softmax. One prompt of 512 tokens, 256 new ones in blocks of
32, float32. Steps over the whole text all cost the same, so for the official loop and exact mode
the time of 256 steps is taken from `--timed-steps`, which must be a multiple of the 8 blocks; with
256 nothing is scaled. Equal tokens are counted at as many steps; one step a block leaves a cache no
time to matter. Seconds are of CPU time: other work on the machine counts less. The ratio is to 256
steps of the official loop.
"""

import argparse
import importlib.util
import os
import sys
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.sampling import SamplingConfig, generate

# 59 M weights in layers and 41 M in embedding and head. With the published vocabulary, four times
# as large, the head would weigh more and every ratio be larger.
FULL = ModelConfig.preset(
    "tiny", d_model=640, n_layers=12, n_heads=10, n_kv_heads=10, ffn_hidden=1728,
    vocab_size=32_000, max_sequence_length=1024,
)  # fmt: skip
QUICK = FULL.model_copy(
    update={"d_model": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 4, "ffn_hidden": 128}
)
Loop = Callable[[int], Tensor]  # steps -> ids_BT


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--timed-steps", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a small model and few tokens")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    config, prompt_length, new, block = (
        (QUICK, 64, 32, 4) if options.quick else (FULL, 512, 256, 32)
    )
    rng = torch.Generator().manual_seed(0)
    model = MaskPredictor(config, rng=rng).requires_grad_(False)
    prompt = torch.randint(10, config.vocab_size, (1, prompt_length), generator=rng)
    name = "plain Algorithm 5" if options.peer is None else "official"
    print(
        f"{config.parameter_count() / 1e6:.0f} M weights, vocabulary {config.vocab_size}, "
        f"{prompt_length} + {new} tokens, blocks of {block}, float32, {options.threads} thread(s), "
        f"load {os.getloadavg()[0]:.1f}, {options.timed_steps} steps timed"
    )
    official = peer(options.peer, model, prompt, new, block)
    print(f"{'mode':18} {'steps':>6} {'seconds':>8} {'tokens/s':>9} {'ratio':>7} {'same':>7}")
    few, scale = options.timed_steps, new / options.timed_steps
    truth = timed(official, few)
    whole = truth.seconds * scale
    print(row(name, new, new, whole, whole), flush=True)
    exact = timed(ours(model, prompt, new, block, "none"), few)
    same = (exact.ids_BT == truth.ids_BT)[:, prompt_length:].float().mean().item()
    print(row("exact", new, new, exact.seconds * scale, whole), f"{same:7.1%}", flush=True)
    for cache in ("dual", "prefix"):
        loop = ours(model, prompt, new, block, cache)
        for steps in (new // 4, new):
            seconds = timed(loop, steps).seconds
            print(row(f"{cache} cache", steps, new, seconds, whole), flush=True)
    for cache in ("dual", "prefix"):
        ids_BT = ours(model, prompt, new, block, cache)(few)
        same = (ids_BT == truth.ids_BT)[:, prompt_length:].float().mean().item()
        print(f"{cache} cache: at {few} steps, {same:.1%} of the tokens are the official ones")


def ours(model: MaskPredictor, prompt: Tensor, new: int, block: int, cache: str) -> Loop:
    def run(steps: int) -> Tensor:
        config = SamplingConfig.model_validate(
            {"steps": steps, "gen_length": new, "block_length": block, "cache": cache}
        )
        return generate(model, prompt, config).ids_BT

    return run


def peer(path: Path | None, model: MaskPredictor, prompt: Tensor, new: int, block: int) -> Loop:
    """Return the official loop over our model, or a plain one."""
    mask_id = model.config.mask_token_id
    if path is None:
        return lambda steps: plain(model, prompt, new, block, steps)
    # It imports transformers for its own example, which is not run.
    if "transformers" not in sys.modules and not importlib.util.find_spec("transformers"):
        stub = types.ModuleType("transformers")
        stub.AutoTokenizer = stub.AutoModel = None  # type: ignore[attr-defined]
        sys.modules["transformers"] = stub
    spec = importlib.util.spec_from_file_location("official_generate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    class Output:
        device = model.device

        def __call__(self, ids: Tensor, attention_mask: Tensor | None = None) -> object:
            return types.SimpleNamespace(logits=model(ids, attention_mask))

    def run(steps: int) -> Tensor:
        found: Tensor = module.generate(
            Output(), prompt, steps=steps, gen_length=new, block_length=block, mask_id=mask_id
        )
        return found

    return run


@torch.no_grad()
def plain(model: MaskPredictor, prompt: Tensor, new: int, block: int, steps: int) -> Tensor:
    """Algorithm 5 with low confidence, greedy, as one writes it down (one prompt)."""
    mask_id = model.config.mask_token_id
    ids = torch.cat([prompt, torch.full((1, new), mask_id)], 1)
    blocks = new // block
    for first in range(prompt.shape[1], ids.shape[1], block):
        for step in range(steps // blocks):
            probability = model(ids).softmax(-1)
            sure, token = probability.max(-1)
            open_ = ids == mask_id
            open_[:, first + block :] = False
            sure = sure.masked_fill(~open_, -1.0)
            left = steps // blocks - step
            count = -(-int(open_.sum()) // left)
            best = sure[0].topk(count).indices
            ids[0, best] = token[0, best]
    return ids


@dataclass(frozen=True)
class Run:
    ids_BT: Tensor
    seconds: float


def timed(loop: Loop, steps: int) -> Run:
    before = time.process_time()
    ids_BT = loop(steps)
    return Run(ids_BT, time.process_time() - before)


def row(mode: str, steps: int, new: int, seconds: float, whole: float) -> str:
    speed = f"{seconds:8.2f} {new / seconds:9.2f} {whole / seconds:6.2f}x"
    return f"{mode:18} {steps:6} {speed}"


if __name__ == "__main__":
    main()
