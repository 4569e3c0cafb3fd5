"""Questions of four answers: our engine against the published likelihood loop, at equal error.

    python -m benchmarks.likelihood [--peer PATH] [--questions 1] [--model FILE]

PATH is a checkout of ML-GSAI/LLaDA (its get_log_likelihood.py is imported); without it the same
method runs from `published_loop` below. Both score the same random model of 100 M parameters on one
thread, a question after a question in turn, in CPU seconds. Random weights say little about errors
(their tokens hardly depend on each other), so the errors are compared on a small trained model too,
from repeated runs.
"""

import argparse
import importlib.util
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (its usual name)

from benchmarks.toy_language import LENGTH, MASK, add_model_options, texts, trained_model
from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.scoring import Question, Scores, ScoringConfig, score

SAMPLES, BATCH = 128, 16
SIZES = (16, 24, 32, 48, 64, 96, 128)
Loop = Callable[..., float]


class Published:
    """A model that answers as the published modelling code does."""

    def __init__(self, model: MaskPredictor) -> None:
        self.model, self.device = model, model.device

    def __call__(self, ids_BL: Tensor) -> types.SimpleNamespace:
        return types.SimpleNamespace(logits=self.model(ids_BL))


@torch.no_grad()
def published_loop(
    model: Published, prompt: Tensor, answer: Tensor, *, mc_num: int, batch_size: int, mask_id: int
) -> float:
    """Algorithm 3 as published: one answer, evenly spaced counts a batch, logits of every row."""
    length, values = len(answer), []
    for _ in range(mc_num // batch_size):
        start = torch.randint(length, ())
        count_B = (start + torch.arange(batch_size) * length // batch_size) % length + 1
        rank_BA = torch.rand(batch_size, length).argsort(1).argsort(1)
        masked_BA = rank_BA < count_B[:, None]
        noisy_BA = answer.expand(batch_size, -1).masked_fill(masked_BA, mask_id)
        logits_BLV = model(torch.cat([prompt.expand(batch_size, -1), noisy_BA], 1)).logits
        loss_BA = F.cross_entropy(
            logits_BLV[:, len(prompt) :].transpose(1, 2),
            answer.expand(batch_size, -1),
            reduction="none",
        )
        values.append(-(loss_BA * masked_BA * length / count_B[:, None]).sum().item() / batch_size)
    return sum(values) / len(values)


def peer_loop(checkout: Path) -> Loop:
    """Import the published function; only its unused `main` needs transformers."""
    stub = types.ModuleType("transformers")
    vars(stub).update(AutoTokenizer=None, AutoModel=None)
    sys.modules.setdefault("transformers", stub)
    spec = importlib.util.spec_from_file_location("peer", checkout / "get_log_likelihood.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loop: Loop = module.get_log_likelihood
    return loop


def batches(loop: Loop, model: MaskPredictor, question: Question) -> Tensor:
    """Return values_CK: K independent batches of the loop an answer; their mean is its result."""
    published = Published(model)
    return torch.tensor(
        [
            [
                loop(
                    published,
                    torch.tensor(prompt),
                    torch.tensor(answer),
                    mc_num=BATCH,
                    batch_size=BATCH,
                    mask_id=MASK,
                )
                for _ in range(SAMPLES // BATCH)
            ]
            for prompt, answer in zip(question.prompts, question.answers, strict=True)
        ],
        dtype=torch.float64,
    )


def rms(errors: list[float]) -> float:
    return torch.tensor(errors, dtype=torch.float64).square().mean().sqrt().item()


def loop_errors(values_CK: Tensor) -> tuple[float, float]:
    """Return the standard error of a value and of its difference to the best answer's."""
    best = int(values_CK.mean(1).argmax())
    leads_CK = values_CK[best] - values_CK
    others = [c for c in range(len(values_CK)) if c != best]
    scale = values_CK.shape[1] ** 0.5
    return (
        rms((values_CK.std(1) / scale).tolist()),
        rms((leads_CK[others].std(1) / scale).tolist()),
    )


def our_errors(scores: Scores) -> tuple[float, float]:
    leads = [lead.stderr for c, lead in enumerate(scores.leads) if c != scores.best]
    return rms([answer.stderr for answer in scores.answers]), rms(leads)


def random_model() -> MaskPredictor:
    config = ModelConfig.preset(
        "tiny", d_model=640, n_layers=12, n_heads=10, n_kv_heads=10, ffn_hidden=1728,
        vocab_size=32_000, max_sequence_length=256,
    )  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    return MaskPredictor(config, rng=rng).requires_grad_(False)


def random_questions(count: int) -> list[Question]:
    rng = torch.Generator().manual_seed(1)

    def ids(length: int) -> list[int]:
        drawn: list[int] = torch.randint(10, 32_000, (length,), generator=rng).tolist()
        return drawn

    return [Question.of(ids(16), [ids(length) for length in (8, 8, 10, 10)]) for _ in range(count)]


def race(loop: Loop, questions: list[Question]) -> None:
    """Time both on random weights; ours with the fewest samples whose errors are no larger."""
    model = random_model()
    print(f"random model of {sum(p.numel() for p in model.parameters()) / 1e6:.0f} M parameters")
    seconds = {"loop": 0.0, "ours": 0.0}
    errors: dict[str, list[tuple[float, float]]] = {"loop": [], "ours": []}
    for number, question in enumerate(questions):
        start = time.process_time()
        errors["loop"].append(loop_errors(batches(loop, model, question)))
        seconds["loop"] += time.process_time() - start
        for samples in SIZES:
            rng = torch.Generator().manual_seed(number)
            config = ScoringConfig(samples=samples)
            start = time.process_time()
            (found,) = score(model, [question], config, mask_id=MASK, rng=rng)
            spent = time.process_time() - start
            pairs = zip(our_errors(found), errors["loop"][-1], strict=True)
            if all(mine <= theirs for mine, theirs in pairs):
                break
        seconds["ours"] += spent
        errors["ours"].append(our_errors(found))
        print(f"  question {number}: {samples} samples of ours for {SAMPLES} of the loop")
    for name in ("loop", "ours"):
        value, lead = (rms([pair[kind] for pair in errors[name]]) for kind in (0, 1))
        print(
            f"  {name}: {len(questions) / seconds[name] * 3600:7.1f} questions/h, "
            f"standard error {value:.3f} of a value, {lead:.3f} of a difference"
        )
    print(f"  ratio {seconds['loop'] / seconds['ours']:.1f}x at equal or smaller error")


def toy(loop: Loop, model: MaskPredictor, repeats: int) -> None:
    """Compare true errors (the spread of repeated runs) on a trained model, by kind of answer."""
    prompt = 24
    drawn = texts(12, LENGTH, torch.Generator().manual_seed(7)).tolist()
    questions = []
    for number in range(6):
        right = drawn[number][prompt:]
        near = [*right[:8], right[9], right[8], *right[10:]]
        others = [drawn[number + 6][prompt:], drawn[number + 5][prompt : prompt + 16]]
        questions.append(Question.of(drawn[number][:prompt], [right, near, *others]))
    print(f"toy language, {repeats} runs of {len(questions)} questions")

    def spread(runs_RQC: Tensor) -> tuple[float, float]:
        leads_RQC = runs_RQC[..., :1] - runs_RQC[..., 1:]
        return (
            runs_RQC.var(0).mean().sqrt().item(),
            leads_RQC.var(0).mean().sqrt().item(),
        )

    start = time.process_time()
    theirs = spread(
        torch.stack(
            [
                torch.stack([batches(loop, model, question).mean(1) for question in questions])
                for _ in range(repeats)
            ]
        )
    )
    spent = time.process_time() - start
    print(f"  loop {SAMPLES}: error {theirs[0]:.3f} of a value, {theirs[1]:.3f} of a difference")
    for samples in (16, 32, 64, SAMPLES):
        rng, begin = torch.Generator().manual_seed(samples), time.process_time()
        found = [
            score(model, questions, ScoringConfig(samples=samples), mask_id=MASK, rng=rng)
            for _ in range(repeats)
        ]
        ours_spent = time.process_time() - begin
        ours = spread(torch.tensor([[[a.value for a in s.answers] for s in run] for run in found]))
        claimed = rms([our_errors(scores)[1] for run in found for scores in run])
        print(
            f"  ours {samples:3}: error {ours[0]:.3f}, {ours[1]:.3f} (claimed {claimed:.3f}); "
            f"speed at equal error of a difference "
            f"{spent / ours_spent * (theirs[1] / ours[1]) ** 2:.1f}x, "
            f"of a value {spent / ours_spent * (theirs[0] / ours[0]) ** 2:.1f}x"
        )
    rng, begin = torch.Generator().manual_seed(0), time.process_time()
    config = ScoringConfig(stop_z=3.0)
    runs = [score(model, questions, config, mask_id=MASK, rng=rng) for _ in range(repeats)]
    truth = [
        s.best for s in score(model, questions, ScoringConfig(samples=1024), mask_id=MASK, rng=rng)
    ]
    flat = [(s, best) for run in runs for s, best in zip(run, truth, strict=True)]
    settled = [pair for pair in flat if pair[0].settled]
    wrong = sum(s.best != best for s, best in settled)
    ours_spent = sum(sum(s.masks) for s, _ in flat) / len(flat) / 4
    print(
        f"  stop_z 3: {ours_spent:.0f} masks an answer instead of {SAMPLES}, {len(settled)} of "
        f"{len(flat)} settled, {wrong} of these not on the answer that 1024 samples prefer"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--peer", type=Path, help="a checkout of ML-GSAI/LLaDA")
    parser.add_argument("--questions", type=int, default=1)
    add_model_options(parser)
    parser.add_argument("--repeats", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    loop = published_loop if options.peer is None else peer_loop(options.peer)
    print("loop:", "the published code" if options.peer else "the published method, written here")
    toy(loop, trained_model(options.steps, options.model), options.repeats)
    race(loop, random_questions(options.questions))


if __name__ == "__main__":
    main()
