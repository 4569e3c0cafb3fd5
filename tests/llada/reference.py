"""A second, plainly written model: published names and keys in, logits out, nothing of ours used.

Rotary positions are multiplications by complex numbers, heads are repeated rather than grouped,
visibility is added to the scores, and every step is one line of arithmetic in the dtype of the
weights, except where the published classes widen: norm, rotation, softmax.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

LLAMA = {
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "weight_tying": "tie_word_embeddings",
}
LLAMA_TENSORS = {
    "wte": "embed_tokens",
    "ln_f": "norm",
    "attn_norm": "input_layernorm",
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj",
    "ff_norm": "post_attention_layernorm",
    "ff_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "ff_out": "mlp.down_proj",
}


class Reference:
    """The model in a folder."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.llama = "hidden_size" in self.config
        self.tensors: dict[str, Tensor] = {}
        for file in folder.glob("*.safetensors"):
            self.tensors |= {name: t.to(dtype) for name, t in load_file(file).items()}

    def size(self, key: str) -> int:
        return int(self.config[LLAMA[key] if self.llama else key])

    def outer(self, part: str) -> Tensor:
        if part == "head":
            tied = self.size("weight_tying")
            if self.llama:
                return self.tensors["model.embed_tokens.weight" if tied else "lm_head.weight"]
            return self.tensors[f"model.transformer.{'wte' if tied else 'ff_out'}.weight"]
        if self.llama:
            return self.tensors[f"model.{LLAMA_TENSORS[part]}.weight"]
        return self.tensors[f"model.transformer.{part}.weight"]

    def inner(self, layer: int, part: str) -> Tensor:
        if self.llama:
            return self.tensors[f"model.layers.{layer}.{LLAMA_TENSORS[part]}.weight"]
        return self.tensors[f"model.transformer.blocks.{layer}.{part}.weight"]

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        wide = x.to(torch.float32)
        mean = (wide * wide).sum(-1, keepdim=True) / x.shape[-1]
        return (wide / torch.sqrt(mean + self.config["rms_norm_eps"])).to(x.dtype) * weight

    def turn(self, x: Tensor) -> Tensor:
        """Multiply channel i and channel i + half, read as one complex number, by exp(i angle)."""
        length, half = x.shape[-2], x.shape[-1] // 2
        speed = [self.config["rope_theta"] ** (-i / half) for i in range(half)]
        angle = torch.tensor([[p * s for s in speed] for p in range(length)], dtype=torch.float64)
        turn = torch.polar(torch.ones_like(angle), angle).to(torch.complex64)
        turned = torch.complex(x[..., :half].float(), x[..., half:].float()) * turn
        return torch.cat([turned.real, turned.imag], dim=-1).to(x.dtype)

    def attention(self, x: Tensor, layer: int, hidden: Tensor) -> Tensor:
        heads, kv_heads = self.size("n_heads"), self.size("n_kv_heads")
        batch, length, width = x.shape
        q, k, v = (x @ self.inner(layer, f"{name}_proj").T for name in "qkv")
        q, k, v = (
            part.reshape(batch, length, -1, width // heads).permute(0, 2, 1, 3)
            for part in (q, k, v)
        )
        q, k = self.turn(q), self.turn(k)
        k, v = (
            torch.stack([part[:, head * kv_heads // heads] for head in range(heads)], dim=1)
            for part in (k, v)
        )
        score = (q @ k.permute(0, 1, 3, 2)).float() / (width // heads) ** 0.5 + hidden
        share = torch.exp(score - score.max(-1, keepdim=True).values)
        share = (share / share.sum(-1, keepdim=True)).to(x.dtype)
        mixed = (share @ v).permute(0, 2, 1, 3).reshape(batch, length, width)
        return mixed @ self.inner(layer, "attn_out").T

    def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        length = ids_BL.shape[1]
        hidden = torch.zeros(1, 1, length, length)
        if self.config.get("causal"):
            hidden = hidden + torch.full((length, length), -1e30).triu(1)
        if attention_mask is not None:
            hidden = hidden + (attention_mask[:, None, None, :] == 0) * -1e30
        x = self.outer("wte")[ids_BL]
        for layer in range(self.size("n_layers")):
            x = x + self.attention(self.norm(x, self.inner(layer, "attn_norm")), layer, hidden)
            h = self.norm(x, self.inner(layer, "ff_norm"))
            gate, up = h @ self.inner(layer, "ff_proj").T, h @ self.inner(layer, "up_proj").T
            x = x + (gate / (1 + torch.exp(-gate)) * up) @ self.inner(layer, "ff_out").T
        return self.norm(x, self.outer("ln_f")) @ self.outer("head").T
