"""Samples against error: Eq. 12 (each token masked at rate t) and Eq. 14 (exactly n masked).

    python -m benchmarks.estimator_variance FIGURE.svg [--runs 1600] [--model FILE]

The paper (arXiv 2502.09992, appendix A.2 and B.5) evaluates with 128 samples of Eq. 14 where Eq. 12
needs more than 1000. Here the spread of single samples is measured on a small trained model, for
several answers, and drawn as the standard error of S of them, with our engine (llada/scoring)
beside the two; its error is measured at each S, as it is more than an average.
"""

import argparse
import math
from pathlib import Path
from xml.sax.saxutils import escape

import torch
from torch import Tensor

from benchmarks.toy_language import LENGTH, MASK, add_model_options, texts, trained_model
from llada.likelihood import mask_counts
from llada.model import MaskPredictor
from llada.noise import EPS, exact_count_mask, mask_count, mask_probability
from llada.scoring import Question, ScoringConfig, score
from llada.scoring.passes import Job, log_probabilities

PROMPT = 16
ANSWER = LENGTH - PROMPT
SAMPLES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
OURS = (16, 32, 64, 128)
Curve = list[tuple[int, float]]


def single_spreads(model: MaskPredictor, text_L: Tensor, runs: int) -> dict[str, float]:
    """Return the standard deviation of one sample, by the way its mask is drawn.

    Evenly spaced counts (Algorithm 3) have no spread of one sample; theirs is that of 16 times 4.
    """
    rng = torch.Generator().manual_seed(0)
    keys_SA = torch.rand(runs, ANSWER, generator=rng)
    t_S = torch.rand(runs, generator=rng)
    p_S = mask_probability(t_S, EPS)
    even_S = torch.cat([mask_counts(ANSWER, 16, rng) for _ in range(runs // 16)])
    weights = {
        "Eq. 12": (keys_SA < p_S[:, None], 1 / p_S),
        "Eq. 14": (exact_count_mask(keys_SA, mask_count(t_S, ANSWER)), None),
        "Eq. 14, even counts": (exact_count_mask(keys_SA[: len(even_S)], even_S), None),
    }
    spreads = {}
    for name, (masked_SA, weight_S) in weights.items():
        some_S = masked_SA.any(1)
        job = Job(text_L[:PROMPT].tolist(), text_L[PROMPT:].tolist(), masked_SA[some_S])
        (log_p_SA,) = log_probabilities(model, [job], mask_id=MASK, scale=0.0, batch_tokens=9216)
        value_S = torch.zeros(len(masked_SA), dtype=torch.float64)  # nothing hidden counts 0
        weight_S = ANSWER / masked_SA.sum(1).clamp(min=1) if weight_S is None else weight_S
        value_S[some_S] = log_p_SA.sum(1) * weight_S[some_S]
        if name.endswith("counts"):
            spreads[name] = value_S.reshape(-1, 16).mean(1).std().item() * 4
        else:
            spreads[name] = value_S.std().item()
    return spreads


def engine_errors(model: MaskPredictor, text_BL: Tensor, repeats: int) -> Curve:
    """Return the spread of repeated runs of the engine at each number of samples."""
    questions = [
        Question.of(text_L[:PROMPT].tolist(), [text_L[PROMPT:].tolist()]) for text_L in text_BL
    ]
    curve = []
    for samples in OURS:
        config = ScoringConfig(samples=samples, batch_tokens=9216)
        rng = torch.Generator().manual_seed(samples)
        runs = [score(model, questions, config, mask_id=MASK, rng=rng) for _ in range(repeats)]
        values = torch.tensor([[s.answers[0].value for s in run] for run in runs])
        curve.append((samples, values.var(0).mean().sqrt().item()))
    return curve


def figure(curves: dict[str, Curve]) -> str:
    """Draw error against samples, both on a logarithmic scale, as an SVG page."""
    width, height, left, top = 640, 420, 70, 30
    errors = [error for curve in curves.values() for _, error in curve]
    low, high = math.log(min(errors) / 1.3), math.log(max(errors) * 1.3)

    def x(samples: float) -> float:
        span = math.log(SAMPLES[-1] / SAMPLES[0])
        return left + (width - left - 20) * math.log(samples / SAMPLES[0]) / span

    def y(error: float) -> float:
        return top + (height - top - 60) * (high - math.log(error)) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for samples in SAMPLES:
        parts.append(
            f'<line x1="{x(samples):.1f}" x2="{x(samples):.1f}" y1="{top}" y2="{height - 60}" '
            f'stroke="#ddd"/><text x="{x(samples):.1f}" y="{height - 44}" '
            f'text-anchor="middle">{samples}</text>'
        )
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50):
        if low <= math.log(tick) <= high:
            parts.append(
                f'<line x1="{left}" x2="{width - 20}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
                f'stroke="#ddd"/><text x="{left - 8}" y="{y(tick) + 4:.1f}" '
                f'text-anchor="end">{tick:g}</text>'
            )
    colours = ("#b03030", "#c08020", "#3060b0", "#208050")
    for place, ((name, curve), colour) in enumerate(zip(curves.items(), colours, strict=True)):
        points = " ".join(f"{x(samples):.1f},{y(error):.1f}" for samples, error in curve)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{width - 200}" y="{top + 18 + 16 * place}" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    parts.append(
        f'<text x="{(left + width) / 2}" y="{height - 20}" text-anchor="middle">samples (masks) '
        f'of an answer of {ANSWER} tokens</text><text transform="translate(20 {height / 2}) '
        f'rotate(-90)" text-anchor="middle">standard error, nats</text></svg>'
    )
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("figure", type=Path)
    add_model_options(parser)
    parser.add_argument("--runs", type=int, default=1600, help="samples an answer and way")
    parser.add_argument("--answers", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = trained_model(options.steps, options.model)
    text_BL = texts(options.answers, LENGTH, torch.Generator().manual_seed(9))
    found = [single_spreads(model, text_L, options.runs) for text_L in text_BL]
    single = {
        name: math.sqrt(sum(spread[name] ** 2 for spread in found) / len(found))
        for name in found[0]
    }
    curves = {name: [(s, one / math.sqrt(s)) for s in SAMPLES] for name, one in single.items()}
    curves["ours"] = engine_errors(model, text_BL, repeats=12)
    for name, one in single.items():
        needed = 128 * (one / single["Eq. 14, even counts"]) ** 2
        print(
            f"{name:20} deviation of one sample {one:7.2f} nats; as good as 128 even: {needed:.0f}"
        )
    for samples, error in curves["ours"]:
        equal = (single["Eq. 14, even counts"] / error) ** 2
        print(f"ours, {samples:3} samples: error {error:.3f} nats, as {equal:.0f} even of Eq. 14")
    options.figure.write_text(figure(curves), encoding="utf-8")
    print(f"written: {options.figure}")


if __name__ == "__main__":
    main()
