"""What padding costs the model: no mask, a row of keys, a square of scores, and packed rows.

    python -m benchmarks.padding [--lengths 128 256 384 512] [--rounds 5]
    python -m benchmarks.padding --device cuda --preset llada-1b --lengths 1024 2048 3072 4096

One left-padded batch of the given lengths goes through all layers, without the head, in four ways
that alternate in one process: `none` computes padding like text (wrong, but the cost of the widest
kernel), `keys` gives the kernel a mask (B, 1, 1, L), `square` an additive one (B, 1, L, L) as the
published LLaDA class builds it, `packed` is `MaskPredictor.hidden`, which leaves padding out.
Numbers are medians; on a CPU of CPU time. Results of the last three must agree.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from llada.attention import visible_keys
from llada.config import ModelConfig
from llada.model import MaskPredictor

WAYS = ("none", "keys", "square", "packed")


def ways(model: MaskPredictor, ids_BL: Tensor, mask_BL: Tensor) -> dict[str, Callable[[], Tensor]]:
    batch, length = ids_BL.shape
    dtype = model.model.transformer.wte.weight.dtype
    position_L = torch.arange(length, device=ids_BL.device)

    def keys() -> Tensor:
        return model._layers(ids_BL, position_L, visible_keys(mask_BL, None, causal=False))

    def square() -> Tensor:
        hidden = ~mask_BL.bool()[:, None, None, :].expand(batch, 1, length, length)
        lowest = torch.finfo(dtype).min
        score = torch.zeros(batch, 1, length, length, dtype=dtype, device=ids_BL.device)
        return model._layers(ids_BL, position_L, score.masked_fill(hidden, lowest))

    return {
        "none": lambda: model._layers(ids_BL, position_L, None),
        "keys": keys,
        "square": square,
        "packed": lambda: model.hidden(ids_BL, mask_BL),
    }


def seconds(run: Callable[[], Tensor], device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="100m")
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 256, 384, 512])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    config = ModelConfig.preset(options.preset)
    model = MaskPredictor(config, rng=torch.Generator().manual_seed(0)).to(device, dtype)
    width = max(options.lengths)
    lengths_B = torch.tensor(options.lengths, device=device)
    mask_BL = torch.arange(width, device=device) >= width - lengths_B[:, None]
    ids_BL = torch.randint(5, config.vocab_size, mask_BL.shape, device=device)
    tried = ways(model, ids_BL, mask_BL)
    shown = {way: tried[way]()[mask_BL].float() for way in WAYS}
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    for way in ("keys", "square"):
        assert (shown[way] - shown["packed"]).abs().max() < tolerance, way
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            times[way].append(seconds(tried[way], device))
    visible = float(mask_BL.float().mean())
    print(f"{options.preset}, lengths {options.lengths} in rows of {width}: {visible:.0%} visible")
    for way in WAYS:
        ratio = statistics.median(
            own / none for own, none in zip(times[way], times["none"], strict=True)
        )
        print(f"  {way:<8}{statistics.median(times[way]):8.3f} s   {ratio:5.2f} x none")


if __name__ == "__main__":
    main()
