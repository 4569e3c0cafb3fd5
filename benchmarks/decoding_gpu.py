"""Sampling of the 8B shape on a GPU, beside the official loop and Fast-dLLM's, on the same weights.

    python -m benchmarks.decoding_gpu [--official generate.py] [--fast-dllm FOLDER] [--batch 1]

Random weights, bfloat16, a prompt of 512 tokens, 256 new ones in blocks of 32. The peers are read
from the paths given: `generate.py` of github.com/ML-GSAI/LLaDA, and the folder of
github.com/NVlabs/Fast-dLLM that holds `generate.py` and `model/`; that loop runs Fast-dLLM's own
model over our weights, which are not copied. It takes one text at a time: for a batch its time is
that of one text times the batch.

On random weights nothing is ever sure, so a threshold of 0.9 commits one token a pass on all sides,
which is as many passes as there can be; "4 a step" fixes four tokens a pass. A mode is run once to
warm up, then timed as often as `--rounds` says, and the median counts. The official loop and exact
mode are timed over `--timed-steps` and scaled: all their steps cost the same.

The bound of a step is the time in which the GPU can read the weights outside the embedding and the
keys and values of the text, at the rate of a large copy in the same process. The time of a step is
the difference of whole generations with 8 steps a block and with one, a step.
"""

import argparse
import importlib
import statistics
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.sampling import peer
from llada import layouts
from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.sampling import Prepared, SamplingConfig, generate

BLOCK, COPY_BYTES = 32, 2**31


@dataclass(frozen=True)
class Task:
    """What all modes do."""

    prompt_BP: Tensor
    new: int
    rounds: int

    @property
    def tokens(self) -> int:
        return len(self.prompt_BP) * self.new


@dataclass(frozen=True)
class Found:
    seconds: float
    passes: int
    ids_BT: Tensor


Loop = Callable[[], tuple[Tensor, int]]  # ids_BT, passes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="llada-8b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timed-steps", type=int, default=8)
    parser.add_argument("--official", type=Path)
    parser.add_argument("--fast-dllm", type=Path)
    parser.add_argument("--backend", default="inductor", help="of torch.compile; none for none")
    options = parser.parse_args()
    model = random_model(options)
    rate = copy_rate(model.device)
    backend = None if options.backend == "none" else options.backend
    ready = Prepared(random_model(options, like=model), backend=backend)
    print(
        f"{name_of(model.device)}, torch {torch.__version__}, {options.preset}, {options.dtype}, "
        f"copy {rate / 1e12:.2f} TB/s"
    )
    for batch in options.batch:
        rng = torch.Generator().manual_seed(batch)
        size, top = (batch, options.prompt), model.config.mask_token_id
        prompt_BP = torch.randint(2, top, size, generator=rng).to(model.device)
        task = Task(prompt_BP, options.new, options.rounds)
        compare(model, ready, task, rate, options)


def compare(
    model: MaskPredictor, ready: Prepared, task: Task, rate: float, options: argparse.Namespace
) -> None:
    batch, new = len(task.prompt_BP), task.new
    print(f"\nbatch {batch}, {task.prompt_BP.shape[1]} + {new} tokens, blocks of {BLOCK}")
    print(f"{'mode':38} {'passes':>6} {'seconds':>8} {'tokens/s':>9} {'ms/pass':>8} {'GB':>6}")
    few, sure = options.timed_steps, {"parallel": {"threshold": 0.9}}
    if options.official:
        official = peer(options.official, model, task.prompt_BP, new, BLOCK)
        show("official", lambda: (official(few), few), task, scale=new / few)
    show("exact", ours(model, task, few), task, scale=new / few)
    one = Task(task.prompt_BP[:1], new, 1)
    peers = {}
    if options.fast_dllm:
        alone = fast_dllm(options.fast_dllm, model)
        for name, steps, threshold in (("4 a step", new // 4, None), ("threshold 0.9", new, 0.9)):
            loop = bind(alone, one.prompt_BP, new, steps, threshold)
            peers[name] = show(f"Fast-dLLM dual, {name}", loop, one, copies=batch)
    mine = {}
    for name, steps, more in (("4 a step", new // 4, {}), ("threshold 0.9", new, sure)):
        for kind, predictor in (("dual", model), ("dual, prepared", ready)):
            loop = ours(predictor, task, steps, cache="dual", **more)
            mine[kind, name] = show(f"{kind}, {name}", loop, task)
    for name, theirs in peers.items():
        found = mine["dual, prepared", name]
        if found and theirs:
            print(f"Fast-dLLM / prepared, {name}: {batch * theirs.seconds / found.seconds:.2f}x")
            same = (found.ids_BT[:1] == theirs.ids_BT)[:, -new:].float().mean()
            print(f"  the same tokens as Fast-dLLM in the first text: {float(same):.1%}")
    whole = mine["dual, prepared", "4 a step"]
    loop = ours(ready, task, new // BLOCK, cache="dual")
    first = show("dual, prepared, one step a block", loop, task)
    if whole and first:
        step = (whole.seconds - first.seconds) / (whole.passes - first.passes)
        size = step_bytes(model, task)
        print(
            f"a step over a block: {1e3 * step:.2f} ms; reading {size / 1e9:.2f} GB takes "
            f"{1e3 * size / rate:.2f} ms: {size / rate / step:.0%} of the bound"
        )


def show(name: str, loop: Loop, task: Task, *, scale: float = 1.0, copies: int = 1) -> Found | None:
    """Time a mode and print its line; one that fails says why, and the others go on.

    The whole takes `scale` times the timed steps; `copies` such texts are needed, one by one.
    """
    try:
        found = timed(loop, task)
    except Exception as error:  # noqa: BLE001  a peer's, or memory's: told
        print(f"{name:38} failed: {type(error).__name__}: {str(error)[:200]}", flush=True)
        return None
    seconds, tokens = found.seconds * scale * copies, task.tokens * copies
    each = 1e3 * found.seconds / found.passes
    peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
    passes = round(found.passes * scale)
    print(
        f"{name:38} {passes:6} {seconds:8.2f} {tokens / seconds:9.1f} {each:8.2f} {peak:6.1f}",
        flush=True,
    )
    return found


def timed(loop: Loop, task: Task) -> Found:
    loop()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(task.rounds):
        start = now(task.prompt_BP.device)
        ids_BT, passes = loop()
        seconds.append(now(task.prompt_BP.device) - start)
    return Found(statistics.median(seconds), passes, ids_BT)


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def ours(model: MaskPredictor | Prepared, task: Task, steps: int, **more: object) -> Loop:
    settings = {"steps": steps, "gen_length": task.new, "block_length": BLOCK, **more}
    config = SamplingConfig.model_validate(settings)

    def run() -> tuple[Tensor, int]:
        found = generate(model, task.prompt_BP, config)
        return found.ids_BT, found.forward_passes

    return run


def fast_dllm(folder: Path, model: MaskPredictor) -> Callable[..., tuple[Tensor, int]]:
    """Return its loop with a dual cache over its own model, which holds our very weights.

    Its wrapper for transformers is left out, which changes between versions; its layers, its
    attention with `replace_position` and its loop run as published.
    """
    sys.path.insert(0, str(folder))
    published = importlib.import_module("generate")
    modelling = importlib.import_module("model.modeling_llada")
    settings = layouts.published(model.config)
    known = {field.name for field in fields(modelling.ModelConfig)}
    config = modelling.ModelConfig(**{k: v for k, v in settings.items() if k in known})
    config.init_device = "meta"
    theirs = modelling.LLaDAModel(config, init_params=False)
    theirs.load_state_dict(model.model.state_dict(), assign=True)
    theirs.eval()

    class Wrapper:
        device = model.device

        def __call__(self, ids: Tensor, **more: object) -> object:
            out = theirs.forward(ids, **more)
            return types.SimpleNamespace(logits=out.logits, past_key_values=out.attn_key_values)

    def run(prompt_BP: Tensor, new: int, steps: int, threshold: float | None) -> tuple[Tensor, int]:
        return published.generate_with_dual_cache(
            Wrapper(), prompt_BP, steps=steps, gen_length=new, block_length=BLOCK,
            mask_id=model.config.mask_token_id, threshold=threshold,
        )  # fmt: skip

    return run


def bind(run: Callable[..., tuple[Tensor, int]], *arguments: object) -> Loop:
    return lambda: run(*arguments)


def random_model(options: argparse.Namespace, like: MaskPredictor | None = None) -> MaskPredictor:
    """Return a model with weights drawn on its device, or one that shares those of `like`."""
    config = ModelConfig.preset(options.preset)
    if like is not None:
        with torch.device("meta"):
            twin = MaskPredictor(config)
        twin.load_state_dict(like.state_dict(), assign=True)
        return twin.requires_grad_(False)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, options.dtype))
    try:
        with torch.device(options.device):
            model = MaskPredictor(config)
    finally:
        torch.set_default_dtype(before)
    return model.requires_grad_(False)


def step_bytes(model: MaskPredictor, task: Task) -> int:
    """Return what a step must read: weights outside the embedding, keys and values of the text."""
    width = model.model.transformer.wte.weight.element_size()
    weights = sum(p.numel() for name, p in model.named_parameters() if "wte" not in name)
    text = task.prompt_BP.shape[1] + task.new
    kept = 2 * model.config.n_layers * len(task.prompt_BP) * text * model.config.kv_dim
    return width * (weights + kept)


def copy_rate(device: torch.device) -> float:
    """Return bytes read plus bytes written a second, by a large copy within the device."""
    size = COPY_BYTES if device.type == "cuda" else 2**26
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(10):
        start = now(device)
        target.copy_(source)
        best = max(best, 2 * size / (now(device) - start))
    return best


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else "CPU"


if __name__ == "__main__":
    main()
