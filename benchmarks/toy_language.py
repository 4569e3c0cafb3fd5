"""A language small enough to learn in a minute: what benchmarks of losses and likelihoods read.

Every token follows from the two before it by one of `BRANCHES` choices of unequal probability, so
some tokens are sure and some are not, and what is visible nearby matters: as in a real text, and
unlike in a model of random weights.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from llada.config import ModelConfig
from llada.diffusion import pretrain_loss
from llada.model import MaskPredictor

FIRST, WORDS, BRANCHES = 8, 56, 3
MASK = 4
LENGTH = 48


def texts(rows: int, length: int, rng: torch.Generator) -> Tensor:
    """Return texts_BL, drawn from the language (which is always the same)."""
    grammar = torch.Generator().manual_seed(0)
    following = torch.randint(0, WORDS, (WORDS, WORDS, BRANCHES), generator=grammar)
    share = torch.rand(WORDS, WORDS, BRANCHES, generator=grammar).pow(4) + 0.01
    text_BL = torch.randint(0, WORDS, (rows, length + 2), generator=rng)
    for place in range(2, length + 2):
        before = text_BL[:, place - 2] % 4, text_BL[:, place - 1]  # of one, only a quarter is told
        branch = torch.multinomial(share[before], 1, generator=rng)
        text_BL[:, place] = following[before].gather(1, branch)[:, 0]
    return text_BL[:, 2:] + FIRST


def trained_model(steps: int, kept: Path | None = None) -> MaskPredictor:
    """Return a model of 0.2 M parameters after some steps of 64 fresh texts of `LENGTH` each.

    `kept` is a file to read it from; where there is none yet, it is trained and written.
    """
    rng = torch.Generator().manual_seed(0)
    config = ModelConfig.preset(
        "tiny", d_model=64, n_layers=3, n_heads=4, n_kv_heads=4, ffn_hidden=192,
        vocab_size=FIRST + WORDS, max_sequence_length=256,
    )  # fmt: skip
    model = MaskPredictor(config, rng=rng)
    if kept is not None and kept.exists():
        model.load_state_dict(torch.load(kept, weights_only=True))
        return model.requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        loss = pretrain_loss(
            model, texts(64, LENGTH, rng), mask_id=MASK, rng=rng,
            times="low_discrepancy", masks="exact_count",
        )  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    if kept is not None:
        torch.save(model.state_dict(), kept)
    return model.requires_grad_(False)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark keep its model, or take another's."""
    parser.add_argument("--steps", type=int, default=400, help="of training of the small model")
    parser.add_argument("--model", type=Path, help="where to keep the small model")
