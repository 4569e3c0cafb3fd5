"""A model small enough for a test, with a tokenizer, that has learnt nothing."""

from pathlib import Path

import torch

from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.pretrained import Pretrained
from llada.tokenizer import Tokenizer

TEXTS = ["The cat sat on the mat, and the dog sat on the log.", "猫はマットの上に座った。"] * 4


def save_talker(folder: Path, *, seed: int = 0, context: int = 256) -> Path:
    """Write a folder in the published layout: config.json, weights and tokenizer."""
    tokenizer = Tokenizer.train(TEXTS, vocab_size=330)
    tokenizer.save(folder)
    config = ModelConfig.preset(
        "tiny",
        d_model=32,
        n_layers=2,
        n_heads=4,
        n_kv_heads=4,
        ffn_hidden=48,
        vocab_size=tokenizer.vocab_size,
        max_sequence_length=context,
        mask_token_id=tokenizer.special.mask,
        eos_token_id=tokenizer.special.eos,
    )
    MaskPredictor(config, rng=torch.Generator().manual_seed(seed)).save_pretrained(folder)
    return folder


def talker(folder: Path, *, name: str = "tiny", seed: int = 0, context: int = 256) -> Pretrained:
    """Return the model of a fresh folder."""
    return Pretrained.load(save_talker(folder, seed=seed, context=context), name=name)
