"""The mask predictor: a bidirectional transformer that guesses every token from the visible ones.

Shapes: B batch, L sequence, D model width, H heads, K key/value heads, E head width, N picked rows,
V vocabulary. Module names repeat the published LLaDA layout, so the state dict *is* that layout.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its usual name)
from torch.utils.checkpoint import checkpoint

from llada import weights
from llada.attention import rotary_angles, visible_keys
from llada.cache import KeyValueCache
from llada.config import ModelConfig
from llada.errors import LladaError
from llada.layers import Block, RMSNorm
from llada.layouts import LayoutName
from llada.segments import Segments


class Predictor(Protocol):
    """Whatever turns ids into logits: a `MaskPredictor`, or any function of this form."""

    def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return logits_BLV."""
        ...


class Transformer(nn.Module):
    """The weights under `model.transformer.` of a published checkpoint."""

    def __init__(self, config: ModelConfig) -> None:
        """Allocate the embedding, the layers, the last norm and, if untied, the head."""
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.ln_f = RMSNorm(config.d_model, config.rms_norm_eps)
        self.ff_out = (
            None if config.tied_embeddings else nn.Linear(config.d_model, config.vocab_size, False)
        )


class Backbone(nn.Module):
    """The level `model.` of the published names; it holds nothing else."""

    def __init__(self, config: ModelConfig) -> None:
        """Hold the transformer."""
        super().__init__()
        self.transformer = Transformer(config)


class MaskPredictor(nn.Module):
    """The model of LLaDA: logits for every position, from tokens some of which are masked."""

    def __init__(self, config: ModelConfig, *, rng: torch.Generator | None = None) -> None:
        """Build the model with fresh weights, drawn from `rng` or from torch's own generator."""
        super().__init__()
        self.config = config
        # Keep only the input of each layer for the backward pass, and compute the rest again there:
        # about a third more time for the memory of one layer instead of all.
        self.checkpoint_activations = False
        self.model = Backbone(config)
        self._draw_weights(rng)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.model.transformer.wte.weight.device

    def forward(
        self,
        ids_BL: Tensor,
        attention_mask: Tensor | None = None,
        document_ids_BL: Tensor | None = None,
    ) -> Tensor:
        """Return logits_BLV; `attention_mask` (B, L) is 0 or False where a position is padding.

        With `document_ids_BL` (B, L), a token sees the tokens of its own document only. Padding
        gets logits like any token, as in the published model; `hidden` skips it and is faster.
        """
        visible = visible_keys(attention_mask, document_ids_BL, causal=self.config.causal)
        return self.head(self._layers(ids_BL, self._positions(ids_BL), visible))

    def hidden(
        self,
        ids_BL: Tensor,
        attention_mask: Tensor | None = None,
        document_ids_BL: Tensor | None = None,
        *,
        place_N: Tensor | None = None,
    ) -> Tensor:
        """Return h_BLD, what the head reads: rows nobody asks for need not go through it.

        Padding is not computed: its rows are zeros. Under `torch.compile`, where shapes may not
        depend on a mask, the mask goes to the kernel instead and padding is computed as well.

        With `place_N`, places in the flattened batch, return h_ND of these alone: the last layer
        mixes all tokens but computes on only for them, unless it is compiled. How many are asked
        for differs from call to call, and every number would be compiled anew. A place that is
        padding raises an error of the index, since nothing is computed there.
        """
        *_, last = self.model.transformer.blocks
        if place_N is not None and last._compiled_call_impl is not None:
            return self.hidden(ids_BL, attention_mask, document_ids_BL).flatten(0, 1)[place_N]
        position_L = self._positions(ids_BL)
        if attention_mask is None and document_ids_BL is None:
            return self._layers(ids_BL, position_L, None, place_N)
        if torch.compiler.is_compiling():
            visible = visible_keys(attention_mask, document_ids_BL, causal=self.config.causal)
            return self._layers(ids_BL, position_L, visible, place_N)
        segments = Segments.of(attention_mask, document_ids_BL)
        if segments.is_whole_batch:
            return self._layers(ids_BL, position_L, None, place_N)
        packed_1N, packed_N = segments.pack(ids_BL), segments.positions()
        if place_N is not None:
            return self._layers(packed_1N, packed_N, segments, segments.places(place_N))
        return segments.unpack(self._layers(packed_1N, packed_N, segments))

    def hidden_cached(
        self, ids_BN: Tensor, cache: KeyValueCache, place_BN: Tensor | None = None
    ) -> Tensor:
        """Return h_BND of some columns, which see the kept keys and values of all the others.

        `place_BN` says which columns of the text the ids are; without it they are the whole text.
        The cache takes in what is computed, and brings the attention mask (`begin`).
        """
        transformer = self.model.transformer
        h_BND: Tensor = transformer.wte(ids_BN)
        cos, sin = cache.rotation(place_BN)
        for block, kept in zip(transformer.blocks, cache.layers(place_BN), strict=True):
            h_BND = block(h_BND, cos, sin, cache.visible, kept)
        normed_BND: Tensor = transformer.ln_f(h_BND)
        return normed_BND

    def head(self, h: Tensor) -> Tensor:
        """Return logits for hidden rows of any leading shape (..., D)."""
        transformer = self.model.transformer
        if transformer.ff_out is None:
            return F.linear(h, transformer.wte.weight)
        logits: Tensor = transformer.ff_out(h)
        return logits

    @property
    def head_weight(self) -> Tensor:
        """The matrix of the head, weight_VD; the embedding's, if they are tied."""
        transformer = self.model.transformer
        head = transformer.wte if transformer.ff_out is None else transformer.ff_out
        return head.weight

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        **overrides: object,
    ) -> Self:
        """Read a folder in a published layout; `dtype=None` keeps the precision of the files.

        `overrides` are fields of `ModelConfig` for a `config.json` that lacks them, such as
        `mask_token_id`. On a CPU, weights in the precision of the files stay mapped into memory.
        """
        config = weights.read_config(Path(path), **overrides)
        with torch.device("meta"):
            model = cls(config)
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        tensors = weights.read_tensors(Path(path), shapes, dtype=dtype, device=device)
        model.load_state_dict(tensors, assign=True)
        return model

    def save_pretrained(
        self,
        path: str | Path,
        *,
        layout: LayoutName = "llada",
        max_shard_bytes: int | None = None,
    ) -> None:
        """Write a folder in a published layout, as one file or as shards of at most that size."""
        weights.write(
            Path(path),
            self.config,
            self.state_dict(),
            layout=layout,
            max_shard_bytes=max_shard_bytes,
        )

    def _positions(self, ids_BL: Tensor) -> Tensor:
        """Return the position of each column, counted from the left edge whatever is padding."""
        length = ids_BL.shape[1]
        if length > self.config.max_sequence_length:
            raise LladaError(
                f"a sequence of {length} tokens; the model was made for at most "
                f"{self.config.max_sequence_length}: shorten it, or raise max_sequence_length"
            )
        return torch.arange(length, device=ids_BL.device)

    def _layers(
        self,
        ids_BL: Tensor,
        position_L: Tensor,
        visible: Tensor | Segments | None,
        place_N: Tensor | None = None,
    ) -> Tensor:
        """Return h_BLD after all layers and the last norm, or h_ND at some places."""
        transformer = self.model.transformer
        h_BLD: Tensor = transformer.wte(ids_BL)
        angles_LE = rotary_angles(position_L, self.config.head_dim, self.config.rope_theta)
        cos_LE, sin_LE = angles_LE.cos(), angles_LE.sin()
        recompute = self.checkpoint_activations and torch.is_grad_enabled()
        last = len(transformer.blocks) - 1
        for number, block in enumerate(transformer.blocks):
            leaving_N = place_N if number == last else None
            if recompute:  # no dropout anywhere, so there is no generator to rewind
                h_BLD = checkpoint(
                    block,
                    h_BLD,
                    cos_LE,
                    sin_LE,
                    visible,
                    place_N=leaving_N,
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
            else:
                h_BLD = block(h_BLD, cos_LE, sin_LE, visible, place_N=leaving_N)
        normed_BLD: Tensor = transformer.ln_f(h_BLD)
        return normed_BLD

    def _draw_weights(self, rng: torch.Generator | None) -> None:
        """Draw weights as `init_fn: mitchell`: std 1/sqrt(fan in), outputs shrunk with depth."""

        def draw(weight: Tensor, fan_in: int, shrink: float = 1.0) -> None:
            std = 1.0 / math.sqrt(fan_in) / shrink
            nn.init.trunc_normal_(weight, 0.0, std, -3 * std, 3 * std, generator=rng)

        width, transformer = self.config.d_model, self.model.transformer
        draw(transformer.wte.weight, width)
        if transformer.ff_out is not None:
            draw(transformer.ff_out.weight, width)
        for depth, block in enumerate(transformer.blocks):
            assert isinstance(block, Block)
            shrink = math.sqrt(2 * (depth + 1))
            for inward in (block.q_proj, block.k_proj, block.v_proj, block.ff_proj, block.up_proj):
                draw(inward.weight, width)
            draw(block.attn_out.weight, width, shrink)
            draw(block.ff_out.weight, self.config.ffn_hidden, shrink)


def hidden_and_head(
    model: Predictor,
    ids_BL: Tensor,
    attention_mask: Tensor | None = None,
    *,
    place_N: Tensor | None = None,
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return what the head reads, and the head, so that only the rows in demand pay for it.

    The head is 16 % of a 1B model. Where it is known before the pass who will be asked for, at
    `place_N` of the flattened batch, the last layer is spared the rest too. A predictor that is
    only a function has done that work already: its logits come with a head that changes nothing.
    """
    if isinstance(model, MaskPredictor):
        return model.hidden(ids_BL, attention_mask, place_N=place_N), model.head
    logits = model(ids_BL, attention_mask=attention_mask)
    if place_N is not None:
        logits = logits.flatten(0, 1)[place_N]
    return logits, lambda logits: logits
