"""What the faster modes of sampling cost in accuracy, on a small model trained here.

    python benchmarks/parallel_decoding.py --model FOLDER [--train-steps 500] [--problems 128]

Trains a model of half a million weights on graded arithmetic modulo 3 (llada/benchmarks/igsm.py),
if FOLDER holds none, then solves the same held-out problems in every mode: the share of right
answers, passes of the model a problem, seconds, and the share of answers equal to exact mode's.
Confidence means something only where a model has learnt something; random weights would not do.
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

PROBLEMS = igsm.IgsmConfig(
    modulus=3, names=("Ann", "Bob", "Cid", "Dan", "Eve", "Fay"), items=("cups", "pens", "hats")
)
LENGTH, BLOCK, BATCH, PEAK = 32, 16, 32, 2.5e-3

MODES: Mapping[str, Mapping[str, object]] = {
    "exact": {},
    "exact, 2 tokens a step": {"steps": LENGTH // 2},
    "exact, 4 tokens a step": {"steps": LENGTH // 4},
    "exact, 16 tokens a step": {"steps": LENGTH // 16},
    "early exit": {"early_exit": True},
    "prefix cache": {"cache": "prefix"},
    "dual cache": {"cache": "dual"},
    "dual cache, renewed every 4 steps": {"cache": "dual", "cache_refresh": 4},
    "threshold 0.5": {"parallel": {"threshold": 0.5}},
    "threshold 0.7": {"parallel": {"threshold": 0.7}},
    "threshold 0.9": {"parallel": {"threshold": 0.9}},
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
    arguments.add_argument("--train-steps", type=int, default=500)
    arguments.add_argument("--problems", type=int, default=128)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    if not (options.model / "tokenizer.json").exists():
        train(options.model, options.train_steps)
    model = MaskPredictor.from_pretrained(options.model, dtype=torch.float32).eval()
    compare(model, Tokenizer.load(options.model), options.problems)


def train(folder: Path, steps: int) -> None:
    """Fine-tuning (Eq. 5) from fresh weights; batches of one prompt length need no padding."""
    examples = igsm.examples(PROBLEMS, 1000, seed=0, split="train")
    texts = [f"{igsm.prompt(example)} {igsm.response(example)}" for example in examples]
    tokenizer = Tokenizer.train(texts, vocab_size=340)
    rng = torch.Generator().manual_seed(0)
    config = ModelConfig.preset(
        "tiny", d_model=96, n_layers=4, n_heads=4, n_kv_heads=4, ffn_hidden=256,
        vocab_size=tokenizer.vocab_size, mask_token_id=tokenizer.special.mask,
        eos_token_id=tokenizer.special.eos,
    )  # fmt: skip
    model = MaskPredictor(config, rng=rng)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1, betas=(0.9, 0.95))
    print(f"training {model.config.non_embedding_parameter_count():,} weights on {len(texts)}")
    losses: list[float] = []
    for step, (ids_BL, prompt_length) in zip(
        range(steps), batches(examples, tokenizer), strict=False
    ):
        rate = PEAK * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        prompts_B = torch.full((len(ids_BL),), prompt_length)
        answers_B = torch.full_like(prompts_B, LENGTH)
        loss = sft_loss(
            model, ids_BL, prompts_B, answers_B, mask_id=tokenizer.special.mask, rng=rng
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 100 == 99:
            print(f"step {step + 1}: loss {sum(losses[-100:]) / 100:.3f}", flush=True)
    model.save_pretrained(folder)
    tokenizer.save(folder)


def batches(examples: list[igsm.Example], tokenizer: Tokenizer) -> Iterator[tuple[Tensor, int]]:
    """Yield batches of prompts of one length, with answers filled up with the end of text."""
    by_length: defaultdict[int, list[list[int]]] = defaultdict(list)
    for example in examples:
        prompt = prompt_ids(example, tokenizer)
        answer = tokenizer.encode(igsm.response(example))[: LENGTH - 1]
        fill = [tokenizer.special.eos] * (LENGTH - len(answer))
        by_length[len(prompt)].append([*prompt, *answer, *fill])
    rng = random.Random(0)
    for _ in itertools.count():
        epoch = []
        for length, rows in by_length.items():
            rng.shuffle(rows)
            epoch += [(rows[i : i + BATCH], length) for i in range(0, len(rows), BATCH)]
        rng.shuffle(epoch)
        for rows, length in epoch:
            yield torch.tensor(rows), length


def prompt_ids(example: igsm.Example, tokenizer: Tokenizer) -> list[int]:
    return [tokenizer.special.bos, *tokenizer.encode(igsm.prompt(example) + "\n")]


def compare(model: MaskPredictor, tokenizer: Tokenizer, problems: int) -> None:
    """Solve the same problems in every mode, one batch of all, left-padded."""
    examples = igsm.examples(PROBLEMS, problems, seed=1, split="eval")
    prompts = [prompt_ids(example, tokenizer) for example in examples]
    longest = max(map(len, prompts))
    pads = [longest - len(prompt) for prompt in prompts]
    eos = tokenizer.special.eos
    ids = torch.tensor([[eos] * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)])
    mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads])
    exact: list[str] = []
    print(f"{'mode':38} {'right':>7} {'passes':>7} {'seconds':>8} {'faster':>7} {'as exact':>9}")
    whole = 0.0
    for name, settings in MODES.items():
        config = SamplingConfig.model_validate(
            {"steps": LENGTH, "gen_length": LENGTH, "block_length": BLOCK, **settings}
        )
        before = time.process_time()
        # One problem a batch: a batch of many waits for its slowest row at every block.
        done = [generate(model, ids[row : row + 1, pads[row] :], config) for row in range(problems)]
        seconds = time.process_time() - before
        texts = [generation.answer_texts(tokenizer)[0] for generation in done]
        exact, whole = exact or texts, whole or seconds
        right = sum(map(igsm.score, examples, texts)) / problems
        passes = sum(generation.forward_passes for generation in done) / problems
        same = sum(a == b for a, b in zip(texts, exact, strict=True)) / problems
        print(
            f"{name:38} {right:7.1%} {passes:7.1f} {seconds:8.1f} {whole / seconds:6.2f}x "
            f"{same:9.1%}",
            flush=True,
        )
    together = generate(
        model,
        ids,
        SamplingConfig(steps=LENGTH, gen_length=LENGTH, block_length=BLOCK),
        attention_mask=mask,
    ).answer_texts(tokenizer)
    same = sum(a == b for a, b in zip(together, exact, strict=True)) / problems
    print(f"exact, all problems in one batch: {same:.1%} of the answers are the same")


if __name__ == "__main__":
    main()
