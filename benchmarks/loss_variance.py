"""How noisy is the loss of a step, and how much quieter do better times and masks make it?

    python -m benchmarks.loss_variance [--repeats 100] [--model FILE]

For each way to draw times and masks (the tables of llada/noise.py) the variance of the loss of one
global batch over repeated draws with the texts fixed, as a ratio to the paper's way. Two sources of
cross-entropies: an analytic curve CE(t) = 0.5 + 3 t^2 nats, either the same for every token or with
the tokens of a row scattered around it (exponentially, as the difficulty of tokens is); and a small
trained model, read at every mask drawn. Work of one thread.
"""

import argparse
import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.toy_language import LENGTH, MASK, add_model_options, texts, trained_model
from llada import noise
from llada.model import MaskPredictor

WAYS = list(itertools.product(noise.TIMES, noise.MASKS))
Losses = Callable[[Tensor], Tensor]
"""masked_BL -> cross-entropy summed over the masked positions of each row."""


def analytic(difficulty_BL: Tensor) -> Losses:
    def losses(masked_BL: Tensor) -> Tensor:
        level_B = 0.5 + 3 * masked_BL.float().mean(1).square()
        return level_B * (difficulty_BL * masked_BL).sum(1)

    return losses


def trained(model: MaskPredictor, ids_BL: Tensor, answer_BL: Tensor) -> Losses:
    def losses(masked_BL: Tensor) -> Tensor:
        hidden_BL = torch.zeros_like(answer_BL)
        hidden_BL[answer_BL] = masked_BL.flatten()
        noisy_BL = ids_BL.masked_fill(hidden_BL, MASK)
        with torch.inference_mode():
            log_p_BLV = model(noisy_BL).log_softmax(-1)
        surprise_BL = -log_p_BLV.gather(-1, ids_BL[..., None])[..., 0]
        return (surprise_BL * hidden_BL).sum(1)

    return losses


def spread(
    losses: Losses, rows: int, length: int, way: tuple[str, str], repeats: int
) -> tuple[float, float]:
    """Return mean and variance of the loss of a batch (a token), and of its noise alone."""
    rng = torch.Generator().manual_seed(0)
    times, masks = noise.times(way[0]), noise.masks(way[1])
    everything_BL = torch.ones(rows, length, dtype=torch.bool)
    found = []
    for _ in range(repeats):
        t_B = times(torch.rand(rows, generator=rng))
        keys_BL = torch.rand(rows, length, generator=rng)
        masked_BL, weight_B = masks(t_B, keys_BL, everything_BL, noise.EPS)
        found.append((weight_B * losses(masked_BL)).mean().double() / length)
    values = torch.stack(found)
    return values.mean().item(), values.var().item()


def report(name: str, losses: Losses, rows: int, length: int, repeats: int) -> None:
    print(f"{name}: {rows} rows of {length}, {repeats} steps")
    baseline = 0.0
    for way in WAYS:
        mean, variance = spread(losses, rows, length, way, repeats)
        baseline = baseline or variance
        print(
            f"  {way[0]:16}{way[1]:12} loss {mean:.4f}  deviation {variance**0.5:.5f}  "
            f"variance {variance / baseline:.4f}x"
        )


def weight_check() -> None:
    """Short answers of the paper's way: how many rows have no mask, and how heavy one can be."""
    rng = torch.Generator().manual_seed(0)
    everything_BL = torch.ones(100_000, 20, dtype=torch.bool)
    keys_BL = torch.rand(everything_BL.shape, generator=rng)
    t_B = torch.rand(100_000, generator=rng)
    masked_BL, weight_B = noise.bernoulli_masks(t_B, keys_BL, everything_BL, noise.EPS)
    empty = (~masked_BL.any(1)).float().mean().item()
    heaviest = weight_B[masked_BL.any(1)].max().item()
    print(
        f"answers of 20 tokens, Bernoulli: {empty:.1%} have no mask, the heaviest token counts "
        f"{heaviest:.0f} of 20; exact count: none, and 20 at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100)
    add_model_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    weight_check()
    rng = torch.Generator().manual_seed(1)
    for name, rows, length in (
        ("pre-training", 1280, 128),
        ("fine-tuning, long answers", 256, 200),
        ("fine-tuning, short answers", 256, 20),
    ):
        scattered_BL = torch.empty(rows, length).exponential_(generator=rng)
        even_BL = torch.ones(rows, length)
        report(f"{name}, analytic", analytic(even_BL), rows, length, options.repeats)
        report(f"{name}, scattered", analytic(scattered_BL), rows, length, options.repeats)
    model = trained_model(options.steps, options.model)
    for prompt in (0, 28):
        ids_BL = texts(128, LENGTH, rng)
        answer_BL = (torch.arange(LENGTH) >= prompt).expand(128, -1)
        name = "trained, answers" if prompt else "trained, whole texts"
        losses = trained(model, ids_BL, answer_BL)
        report(name, losses, 128, LENGTH - prompt, max(20, options.repeats // 2))


if __name__ == "__main__":
    main()
