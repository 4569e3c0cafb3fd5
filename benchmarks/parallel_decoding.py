"""What the faster modes of sampling cost in accuracy, on a small model trained here.

    python benchmarks/parallel_decoding.py --model FOLDER [--train-steps 500] [--problems 128]
    python benchmarks/parallel_decoding.py --model FOLDER --device cuda --operations 3 \
        --modulus 5 --width 256 --layers 6 --examples 200000 --batch 512 --peak 1e-3 \
        --train-steps 4500 --problems 1024 --timed 8

Trains a model on graded arithmetic (llada/benchmarks/igsm.py), if FOLDER holds none, and solves the
same held-out problems in every mode. Right answers are counted over all of them, many a batch;
passes and seconds are those of the first few, alone, since a batch waits for its slowest row at
every block. Confidence means something only where a model has learnt something; random weights
would not do. At one operation any mode is right, and so none is better: chains of several, each of
which needs the one before, tell them apart, and take a GPU minutes to learn.
"""

import argparse
import itertools
import math
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from llada.benchmarks import igsm
from llada.config import ModelConfig
from llada.diffusion import sft_loss
from llada.model import MaskPredictor
from llada.sampling import SamplingConfig, generate
from llada.tokenizer import Tokenizer

NAMES, ITEMS = ("Ann", "Bob", "Cid", "Dan", "Eve", "Fay"), ("cups", "pens", "hats")
BLOCK = 16
ROWS = 256  # of a batch that is solved together

# Tokens a step, where it is not one; and options of sampling.
MODES: Mapping[str, Mapping[str, object]] = {
    "exact": {},
    "exact, 2 tokens a step": {"each": 2},
    "exact, 4 tokens a step": {"each": 4},
    "exact, 16 tokens a step": {"each": 16},
    "early exit": {"early_exit": True},
    "prefix cache": {"cache": "prefix"},
    "dual cache": {"cache": "dual"},
    "dual cache, renewed every 4 steps": {"cache": "dual", "cache_refresh": 4},
    "threshold 0.3": {"parallel": {"threshold": 0.3}},
    "threshold 0.5": {"parallel": {"threshold": 0.5}},
    "threshold 0.7": {"parallel": {"threshold": 0.7}},
    "threshold 0.9": {"parallel": {"threshold": 0.9}},
    "threshold 0.99": {"parallel": {"threshold": 0.99}},
    "entropy 0.1": {"parallel": {"entropy": 0.1}},
    "entropy 0.5": {"parallel": {"entropy": 0.5}},
    "entropy 2.0": {"parallel": {"entropy": 2.0}},
    "dual cache, threshold 0.9": {"cache": "dual", "parallel": {"threshold": 0.9}},
    "all: dual, threshold 0.9, early exit": {
        "cache": "dual",
        "parallel": {"threshold": 0.9},
        "early_exit": True,
    },
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--operations", type=int, default=1, help="at most, in a problem")
    arguments.add_argument("--modulus", type=int, default=3)
    arguments.add_argument("--width", type=int, default=96)
    arguments.add_argument("--layers", type=int, default=4)
    arguments.add_argument("--examples", type=int, default=1000)
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--peak", type=float, default=2.5e-3, help="learning rate")
    arguments.add_argument("--train-steps", type=int, default=500)
    arguments.add_argument("--problems", type=int, default=128)
    arguments.add_argument("--timed", type=int, default=128, help="solved alone")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")  # where a GPU has it
    if not (options.model / "tokenizer.json").exists():
        train(options)
    model = MaskPredictor.from_pretrained(options.model, dtype=torch.float32, device=options.device)
    compare(model.eval(), Tokenizer.load(options.model), options)


def problems(options: argparse.Namespace) -> igsm.IgsmConfig:
    return igsm.IgsmConfig(
        max_operations=options.operations, modulus=options.modulus, names=NAMES, items=ITEMS
    )


def answer_length(options: argparse.Namespace) -> int:
    """Return room for the longest solution, in whole blocks."""
    return BLOCK * (1 + options.operations)


def train(options: argparse.Namespace) -> None:
    """Fine-tuning (Eq. 5) from fresh weights; batches of one prompt length need no padding."""
    steps, device = options.train_steps, options.device
    examples = igsm.examples(problems(options), options.examples, seed=0, split="train")
    texts = [f"{igsm.prompt(example)} {igsm.response(example)}" for example in examples[:1000]]
    tokenizer = Tokenizer.train(texts, vocab_size=340)
    rng = torch.Generator().manual_seed(0)
    config = ModelConfig.preset(
        "tiny", d_model=options.width, n_layers=options.layers, n_heads=4, n_kv_heads=4,
        ffn_hidden=options.width * 8 // 3, vocab_size=tokenizer.vocab_size,
        mask_token_id=tokenizer.special.mask, eos_token_id=tokenizer.special.eos,
    )  # fmt: skip
    model = MaskPredictor(config, rng=rng).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), weight_decay=0.1, betas=(0.9, 0.95), fused=True
    )
    length = answer_length(options)
    print(f"training {model.config.non_embedding_parameter_count():,} weights on {len(examples)}")
    losses: list[Tensor] = []
    begin = time.perf_counter()
    for step, (ids_BL, prompt_length) in zip(
        range(steps), batches(examples, tokenizer, length, options.batch), strict=False
    ):
        rate = (
            options.peak * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        prompts_B = torch.full((len(ids_BL),), prompt_length, device=device)
        loss = sft_loss(
            model, ids_BL.to(device), prompts_B, torch.full_like(prompts_B, length),
            mask_id=tokenizer.special.mask, rng=rng,
        )  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
        if step % (steps // 10) == steps // 10 - 1:
            mean = torch.stack(losses[-100:]).mean().item()
            print(
                f"step {step + 1}: loss {mean:.3f}, {time.perf_counter() - begin:.0f} s", flush=True
            )
    model.save_pretrained(options.model)
    tokenizer.save(options.model)


def batches(
    examples: list[igsm.Example], tokenizer: Tokenizer, length: int, size: int
) -> Iterator[tuple[Tensor, int]]:
    """Yield batches of prompts of one length, with answers filled up with the end of text."""
    by_length: defaultdict[int, list[list[int]]] = defaultdict(list)
    answers = tokenizer.encode_batch([igsm.response(example) for example in examples])
    for prompt, whole in zip(prompts_of(examples, tokenizer), answers, strict=True):
        answer = whole[: length - 1]
        fill = [tokenizer.special.eos] * (length - len(answer))
        by_length[len(prompt)].append([*prompt, *answer, *fill])
    rng = random.Random(0)
    for _ in itertools.count():
        epoch = []
        for prompt_length, rows in by_length.items():
            rng.shuffle(rows)
            epoch += [(rows[i : i + size], prompt_length) for i in range(0, len(rows), size)]
        rng.shuffle(epoch)
        for rows, prompt_length in epoch:
            yield torch.tensor(rows), prompt_length


def prompts_of(examples: list[igsm.Example], tokenizer: Tokenizer) -> list[list[int]]:
    texts = [igsm.prompt(example) + "\n" for example in examples]
    return [[tokenizer.special.bos, *ids] for ids in tokenizer.encode_batch(texts)]


def compare(model: MaskPredictor, tokenizer: Tokenizer, options: argparse.Namespace) -> None:
    """Solve the same problems in every mode: all in batches, left-padded, and some alone."""
    examples = igsm.examples(problems(options), options.problems, seed=1, split="eval")
    prompts = prompts_of(examples, tokenizer)
    longest = max(map(len, prompts))
    pads = [longest - len(prompt) for prompt in prompts]
    eos, timed, length = tokenizer.special.eos, options.timed, answer_length(options)
    ids = torch.tensor([[eos] * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)])
    mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads])
    ids, mask = ids.to(options.device), mask.to(options.device)
    exact: list[str] = []
    print(
        f"{len(examples)} problems of 1 to {options.operations} operations modulo "
        f"{options.modulus}; {min(timed, len(examples))} alone\n"
        f"{'mode':38} {'right':>7} {'as exact':>9} {'passes':>7} {'seconds':>8} {'faster':>7}"
    )
    whole = 0.0
    for name, settings in MODES.items():
        each = settings.get("each", 1)
        assert isinstance(each, int)
        config = SamplingConfig.model_validate(
            {"steps": length // each, "gen_length": length, "block_length": BLOCK}
            | {key: value for key, value in settings.items() if key != "each"}
        )
        texts: list[str] = []
        for start in range(0, len(examples), ROWS):
            rows = slice(start, start + ROWS)
            batch = generate(model, ids[rows], config, attention_mask=mask[rows])
            texts += batch.answer_texts(tokenizer)
        before = time.perf_counter()
        alone = [
            generate(model, ids[n : n + 1, pads[n] :], config) for n in range(len(ids[:timed]))
        ]
        seconds = time.perf_counter() - before
        exact, whole = exact or texts, whole or seconds
        right = sum(map(igsm.score, examples, texts)) / len(examples)
        passes = sum(generation.forward_passes for generation in alone) / len(alone)
        same = sum(a == b for a, b in zip(texts, exact, strict=True)) / len(examples)
        print(
            f"{name:38} {right:7.1%} {same:9.1%} {passes:7.1f} {seconds:8.1f} "
            f"{whole / seconds:6.2f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
