"""What a mask predictor is made of: its sizes, its special ids, and the sizes of the known models.

Sources: the published `config.json` of LLaDA-8B, Table 5 of the paper (arXiv 2502.09992) for the 1B
models and the autoregressive baselines, and the model card of iLLaDA-8B.
"""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, model_validator

from llada.errors import LladaError


class ModelConfig(BaseModel):
    """The architecture: a pre-norm transformer with RoPE, SwiGLU, RMSNorm and no biases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    d_model: PositiveInt
    n_layers: PositiveInt
    n_heads: PositiveInt
    n_kv_heads: PositiveInt
    ffn_hidden: PositiveInt
    vocab_size: PositiveInt
    max_sequence_length: PositiveInt
    mask_token_id: int
    eos_token_id: int
    rope_theta: PositiveFloat = 500_000.0
    rms_norm_eps: PositiveFloat = 1e-5
    tied_embeddings: bool = False
    # Attend to the left only: the autoregressive baseline of the paper, not a diffusion model.
    causal: bool = False

    @classmethod
    def preset(cls, name: str, **overrides: object) -> Self:
        """Return the named model of `PRESETS`, with some fields replaced."""
        if name not in PRESETS:
            allowed = ", ".join(PRESETS)
            raise LladaError(
                f"no preset named {name!r}; choose one of {allowed}, or give all sizes"
            )
        return cls.model_validate({**PRESETS[name], **overrides})

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    @property
    def kv_dim(self) -> int:
        """Width of all key (or value) heads together."""
        return self.n_kv_heads * self.head_dim

    def parameter_count(self) -> int:
        """Count every weight of the model."""
        embeddings = self.vocab_size * self.d_model
        return self.non_embedding_parameter_count() + embeddings * (
            1 if self.tied_embeddings else 2
        )

    def non_embedding_parameter_count(self) -> int:
        """Count the weights outside embedding and output head: the N of FLOPs = 6 N D."""
        attention = 2 * self.d_model * (self.d_model + self.kv_dim)
        feed_forward = 3 * self.d_model * self.ffn_hidden
        norms = 2 * self.d_model
        return self.n_layers * (attention + feed_forward + norms) + self.d_model

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.d_model % self.n_heads or self.head_dim % 2:
            raise LladaError(
                f"d_model={self.d_model} over n_heads={self.n_heads} gives heads of "
                f"{self.d_model / self.n_heads:g}; RoPE needs a whole, even width: change one"
            )
        if self.n_heads % self.n_kv_heads:
            raise LladaError(
                f"n_heads={self.n_heads} cannot share n_kv_heads={self.n_kv_heads}; "
                f"n_kv_heads must divide n_heads: use n_heads itself, or a divisor of it"
            )
        for field in ("mask_token_id", "eos_token_id"):
            found = getattr(self, field)
            if not 0 <= found < self.vocab_size:
                raise LladaError(
                    f"{field}={found} lies outside the vocabulary; allowed is 0 to "
                    f"{self.vocab_size - 1}: take it from the tokenizer, or raise vocab_size"
                )
        if self.mask_token_id == self.eos_token_id:
            raise LladaError(
                f"mask_token_id and eos_token_id are both {self.mask_token_id}; they must differ, "
                f"or the model could never end an answer: take both from the tokenizer"
            )
        return self


_LLADA_VOCABULARY: Mapping[str, object] = {
    "vocab_size": 126_464,
    "max_sequence_length": 4096,
    "mask_token_id": 126_336,
    "eos_token_id": 126_081,
}
# The paper prints 5634 for the hidden width of the 1B models; 5632 gives the same 1.49 B / 0.97 B
# and is a multiple of 64, which matrix units want.
_ONE_BILLION: Mapping[str, object] = {
    "d_model": 2048,
    "n_layers": 22,
    "n_heads": 32,
    "n_kv_heads": 4,
    "ffn_hidden": 5632,
    **_LLADA_VOCABULARY,
}

# Ours, for a CPU; the special ids are those of a tokenizer trained by us.
_FOR_CPU: Mapping[str, object] = {
    "vocab_size": 4096,
    "max_sequence_length": 512,
    "mask_token_id": 4,
    "eos_token_id": 1,
    "rope_theta": 10_000.0,
}

PRESETS: Mapping[str, Mapping[str, object]] = {
    "pico": {  # 0.68 M weights
        "d_model": 64,
        "n_layers": 3,
        "n_heads": 2,
        "n_kv_heads": 2,
        "ffn_hidden": 192,
        **_FOR_CPU,
    },
    "nano": {  # 1.27 M weights
        "d_model": 96,
        "n_layers": 4,
        "n_heads": 3,
        "n_kv_heads": 3,
        "ffn_hidden": 288,
        **_FOR_CPU,
    },
    "tiny": {  # 2.98 M weights
        "d_model": 160,
        "n_layers": 5,
        "n_heads": 5,
        "n_kv_heads": 5,
        "ffn_hidden": 480,
        **_FOR_CPU,
    },
    "small": {  # 27.9 M weights
        "d_model": 384,
        "n_layers": 8,
        "n_heads": 6,
        "n_kv_heads": 6,
        "ffn_hidden": 1152,
        **_FOR_CPU,
        "vocab_size": 16_384,
        "max_sequence_length": 1024,
    },
    "100m": {  # 101 M weights: enough for speed to mean something, little enough for a CPU
        "d_model": 640,
        "n_layers": 12,
        "n_heads": 10,
        "n_kv_heads": 10,
        "ffn_hidden": 1728,
        **_FOR_CPU,
        "vocab_size": 32_768,
        "max_sequence_length": 2048,
    },
    "llada-1b": _ONE_BILLION,
    "llada-8b": {
        "d_model": 4096,
        "n_layers": 32,
        "n_heads": 32,
        "n_kv_heads": 32,
        "ffn_hidden": 12_288,
        **_LLADA_VOCABULARY,
    },
    "illada-8b": {
        "d_model": 4096,
        "n_layers": 32,
        "n_heads": 32,
        "n_kv_heads": 8,
        "ffn_hidden": 14_336,
        "vocab_size": 155_136,
        "max_sequence_length": 8192,
        "mask_token_id": 5,
        "eos_token_id": 2,
        "tied_embeddings": True,
    },
    "arm-1b": {**_ONE_BILLION, "causal": True},
    "arm-7b": {
        "d_model": 4096,
        "n_layers": 28,
        "n_heads": 32,
        "n_kv_heads": 8,
        "ffn_hidden": 13_440,
        **_LLADA_VOCABULARY,
        "causal": True,
    },
}
