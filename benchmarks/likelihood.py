"""Questions of four answers: our engine against the published likelihood loop, at equal error.

    python -m benchmarks.likelihood [--peer PATH] [--questions 1] [--model FILE]
    python -m benchmarks.likelihood --peer PATH --preset llada-8b --device cuda --questions 3

PATH is a checkout of ML-GSAI/LLaDA (its get_log_likelihood.py is imported); without it the same
method runs from `published_loop` below. Both score the same random model of 100 M parameters on one
thread, a question after a question in turn, in CPU seconds (on a GPU, in seconds). What they err by
is no estimate: all masks of an answer are scored once, and both run hundreds of times on that
table. Random weights say little about errors (their tokens hardly depend on each other), so errors
are compared on a small trained model too, from repeated runs.
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

from benchmarks.toy_language import FIRST, LENGTH, MASK, add_model_options, texts, trained_model
from llada.config import ModelConfig
from llada.model import MaskPredictor, Predictor
from llada.scoring import Question, Scores, ScoringConfig, score
from llada.scoring.masks import every_mask
from llada.scoring.passes import Job, log_probabilities

SAMPLES, BATCH = 128, 16
SIZES = (12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128)
Loop = Callable[..., float]


class Published:
    """A model that answers as the published modelling code does."""

    def __init__(self, model: Predictor, device: torch.device) -> None:
        self.model, self.device = model, device

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


class Table:
    """All that a model says of the answers of a question, read off instead of computed.

    The answers and the prompts stand for others: of an answer the prompt is its number, and its
    tokens are their places. A token has its probability; what is left goes to token 0.
    """

    def __init__(self, model: Predictor, question: Question) -> None:
        jobs = [
            Job(prompt, answer, every_mask(len(answer)))
            for prompt, answer in zip(question.prompts, question.answers, strict=True)
        ]
        self._log_p = log_probabilities(model, jobs, mask_id=MASK, scale=0.0, batch_tokens=4096)
        lengths = [len(answer) for answer in question.answers]
        self.question = Question(
            tuple((number,) for number in range(len(lengths))),
            tuple(tuple(range(FIRST, FIRST + length)) for length in lengths),
        )

    def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        logits_BLV = torch.full((*ids_BL.shape, FIRST + ids_BL.shape[1]), -torch.inf)
        for number in ids_BL[:, 0].unique().tolist():
            rows_R = (ids_BL[:, 0] == number).nonzero()[:, 0]
            log_p_SA = self._log_p[number]
            length = log_p_SA.shape[1]
            hidden_RA = ids_BL[rows_R, 1 : length + 1] == MASK
            sets_R = (hidden_RA.long() << torch.arange(length - 1, -1, -1)).sum(1) - 1
            log_p_RA = log_p_SA[sets_R].float()
            place_A = torch.arange(length)
            logits_BLV[rows_R[:, None], 1 + place_A, FIRST + place_A] = log_p_RA
            logits_BLV[rows_R[:, None], 1 + place_A, 0] = (-log_p_RA.expm1()).log()
        return logits_BLV


def batches(loop: Loop, published: Published, question: Question) -> Tensor:
    """Return values_CK: K independent batches of the loop an answer; their mean is its result."""
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


def spread(runs_RC: Tensor) -> tuple[float, float]:
    """Return the error of a value and of its difference to the best answer's, from many runs."""
    best = int(runs_RC.mean(0).argmax())
    others = [c for c in range(runs_RC.shape[1]) if c != best]
    leads_RC = runs_RC[:, [best]] - runs_RC[:, others]
    return runs_RC.var(0).mean().sqrt().item(), leads_RC.var(0).mean().sqrt().item()


def our_errors(scores: Scores) -> tuple[float, float]:
    leads = [lead.stderr for c, lead in enumerate(scores.leads) if c != scores.best]
    return rms([answer.stderr for answer in scores.answers]), rms(leads)


def random_model(preset: str | None, device: str) -> MaskPredictor:
    if preset is None:
        config = ModelConfig.preset(
            "tiny", d_model=640, n_layers=12, n_heads=10, n_kv_heads=10, ffn_hidden=1728,
            vocab_size=32_000, max_sequence_length=256,
        )  # fmt: skip
    else:
        config = ModelConfig.preset(preset)
    torch.manual_seed(0)
    with torch.device(device):
        model = MaskPredictor(config)
    return model.to(torch.bfloat16 if device == "cuda" else torch.float32).requires_grad_(False)


def random_questions(count: int) -> list[Question]:
    rng = torch.Generator().manual_seed(1)

    def ids(length: int) -> list[int]:
        drawn: list[int] = torch.randint(10, 32_000, (length,), generator=rng).tolist()
        return drawn

    return [Question.of(ids(16), [ids(length) for length in (8, 8, 10, 10)]) for _ in range(count)]


def race(loop: Loop, questions: list[Question], model: MaskPredictor, repeats: int) -> None:
    """Time both on random weights; ours with the fewest samples whose errors are no larger."""
    now = time.perf_counter if model.device.type == "cuda" else time.process_time
    published = Published(model, model.device)
    print(f"random model of {sum(p.numel() for p in model.parameters()) / 1e6:,.0f} M parameters")
    seconds = {"loop": 0.0, "ours": 0.0}
    errors: dict[str, list[tuple[float, float]]] = {"loop": [], "ours": []}
    for number, question in enumerate(questions):
        table = Table(model, question)
        on_table = Published(table, torch.device("cpu"))
        theirs = spread(
            torch.stack([batches(loop, on_table, table.question).mean(1) for _ in range(repeats)])
        )
        samples, ours, claimed = fewest(table, theirs, repeats)
        errors["loop"].append(theirs)
        errors["ours"].append(ours)
        start = now()
        batches(loop, published, question)
        middle = now()
        for seed in range(3):
            rng, config = torch.Generator().manual_seed(seed), ScoringConfig(samples=samples)
            score(model, [question], config, mask_id=MASK, rng=rng)
        spent = middle - start, (now() - middle) / 3
        seconds["loop"] += spent[0]
        seconds["ours"] += spent[1]
        print(
            f"  question {number}: {samples} samples of ours for {SAMPLES} of the loop, "
            f"{spent[1]:.1f} for {spent[0]:.1f} s: {spent[0] / spent[1]:.1f}x; ours claims an "
            f"error of {claimed[0]:.3f} and {claimed[1]:.3f}"
        )
    for name in ("loop", "ours"):
        value, lead = (rms([pair[kind] for pair in errors[name]]) for kind in (0, 1))
        print(
            f"  {name}: {len(questions) / seconds[name] * 3600:7.1f} questions/h, "
            f"true error {value:.3f} of a value, {lead:.3f} of a difference"
        )
    print(f"  ratio {seconds['loop'] / seconds['ours']:.1f}x at equal or smaller error")


def fewest(
    table: Table, theirs: tuple[float, float], repeats: int
) -> tuple[int, tuple[float, float], tuple[float, float]]:
    """Return how many samples of ours err no more than that, what they err by, and claim to."""
    for samples in SIZES:
        found = score(
            table,
            [table.question] * repeats,
            ScoringConfig(samples=samples),
            mask_id=MASK,
            rng=torch.Generator().manual_seed(samples),
        )
        ours = spread(torch.tensor([[answer.value for answer in run.answers] for run in found]))
        if ours[0] <= theirs[0] and ours[1] <= theirs[1]:
            break
    claims = [our_errors(scores) for scores in found]
    return samples, ours, (rms([c[0] for c in claims]), rms([c[1] for c in claims]))


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

    def spread_of_all(runs_RQC: Tensor) -> tuple[float, float]:
        pairs = [spread(runs_RQC[:, number]) for number in range(len(questions))]
        return rms([pair[0] for pair in pairs]), rms([pair[1] for pair in pairs])

    published = Published(model, model.device)
    start = time.process_time()
    theirs = spread_of_all(
        torch.stack(
            [
                torch.stack([batches(loop, published, question).mean(1) for question in questions])
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
        ours = spread_of_all(
            torch.tensor([[[a.value for a in s.answers] for s in run] for run in found])
        )
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
    parser.add_argument("--preset", help="a model of llada.config instead of one of 100 M")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    add_model_options(parser)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--table-repeats", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    loop = published_loop if options.peer is None else peer_loop(options.peer)
    print("loop:", "the published code" if options.peer else "the published method, written here")
    if options.device == "cpu":
        toy(loop, trained_model(options.steps, options.model), options.repeats)
    model = random_model(options.preset, options.device)
    race(loop, random_questions(options.questions), model, options.table_repeats)


if __name__ == "__main__":
    main()
