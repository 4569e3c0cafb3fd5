"""A model and its tokenizer from one folder, checked against each other."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch

from llada.errors import LladaError
from llada.model import MaskPredictor
from llada.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Pretrained:
    """What it takes to answer in words."""

    name: str
    model: MaskPredictor
    tokenizer: Tokenizer

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        name: str | None = None,
        dtype: torch.dtype | None = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Read a folder in the published layout: config.json, safetensors and tokenizer.json.

        Raises:
            LladaError: a file is missing, or the tokenizer is that of another model.
        """
        folder = Path(folder)
        tokenizer = Tokenizer.load(folder)
        model = MaskPredictor.from_pretrained(folder, dtype=dtype, device=device)
        loaded = cls(name or folder.resolve().name, model.eval().requires_grad_(False), tokenizer)
        loaded._check(folder)
        return loaded

    @property
    def ends(self) -> tuple[int, int]:
        """The ids that end an answer: end of text and end of turn."""
        return self.tokenizer.special.eos, self.tokenizer.special.eot

    @cached_property
    def reserved(self) -> tuple[int, ...]:
        """The ids that no answer should hold: structure, and rows of the model without a token."""
        return self.tokenizer.reserved_ids(self.model.config.vocab_size)

    @property
    def context(self) -> int:
        """How many tokens prompt and answer may have together."""
        return self.model.config.max_sequence_length

    def _check(self, folder: Path) -> None:
        config, special = self.model.config, self.tokenizer.special
        if config.causal:
            raise LladaError(
                f"{folder}: config.json says causal; that is the autoregressive baseline, which "
                f"cannot fill masks: give a diffusion model"
            )
        for role, ours, theirs in (
            ("mask", config.mask_token_id, special.mask),
            ("end of text", config.eos_token_id, special.eos),
        ):
            if ours != theirs:
                raise LladaError(
                    f"{folder}: config.json has the {role} id {ours}, tokenizer.json {theirs}; "
                    f"they must agree: take both files from the same model"
                )
        largest = max(*special, self.tokenizer.vocab_size - 1)
        if largest >= config.vocab_size:
            raise LladaError(
                f"{folder}: tokenizer.json has ids up to {largest}, the model 0 to "
                f"{config.vocab_size - 1}; take both files from the same model"
            )
