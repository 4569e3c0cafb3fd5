"""The two published ways to write a model down: keys of `config.json`, names of tensors.

`llada` is the layout of LLaDA-8B (arXiv 2502.09992), whose class descends from OLMo; `llama` is
that of LLaMA, in which LLaDA-V and iLLaDA publish the same transformer. Only names differ: no
tensor is transposed or permuted between them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from llada.config import ModelConfig
from llada.errors import LladaError

LayoutName = Literal["llada", "llama"]


@dataclass(frozen=True)
class Layout:
    """How one family of checkpoints writes a model down."""

    sizes: Mapping[str, str]  # key of config.json -> our field
    defaults: Mapping[str, object]  # what the published class takes for a size that is not there
    fixed: Mapping[str, object]  # what every model of this code is; other values are refused
    inert: Mapping[str, object]  # keys that do not change the function, for other readers
    # What the published class takes where a fixed key is absent, if we compute something else.
    unlike_ours: Mapping[str, object] = field(default_factory=dict)
    neutral: Mapping[str, object] = field(default_factory=dict)  # refused otherwise, never written
    outer: Mapping[str, str] = field(default_factory=dict)  # our tensor -> theirs
    inner: Mapping[str, str] = field(default_factory=dict)  # the same inside a layer

    def tensor(self, ours: str) -> str:
        """Return the published name of one of our tensors.

        `ff_out` is the head at the top and the way out of the feed-forward in a layer, hence two
        tables: a search and replace would confuse them.
        """
        if not self.outer:
            return ours
        match = re.fullmatch(r"model\.transformer\.(?:blocks\.(\d+)\.)?(\w+)\.weight", ours)
        assert match, ours
        layer, part = match.groups()
        if layer is None:
            return f"{self.outer[part]}.weight"
        return f"model.layers.{layer}.{self.inner[part]}.weight"


_CAUSAL = "causal"  # ours: only the autoregressive baseline has it
_LLADA = Layout(
    sizes={
        "d_model": "d_model",
        "n_layers": "n_layers",
        "n_heads": "n_heads",
        "n_kv_heads": "n_kv_heads",
        "mlp_hidden_size": "ffn_hidden",
        "vocab_size": "vocab_size",
        "max_sequence_length": "max_sequence_length",
        "mask_token_id": "mask_token_id",
        "eos_token_id": "eos_token_id",
        "rope_theta": "rope_theta",
        "rms_norm_eps": "rms_norm_eps",
        "weight_tying": "tied_embeddings",
    },
    # The other sizes have defaults too, but those are OLMo's, and no LLaDA is meant by them.
    defaults={"rope_theta": 10_000.0, "rms_norm_eps": 1e-5, "weight_tying": True},
    fixed={
        "model_type": "llada",
        "block_type": "llama",
        "block_group_size": 1,
        "activation_type": "silu",
        "layer_norm_type": "rms",
        "layer_norm_with_affine": True,
        "bias_for_layer_norm": False,
        "include_bias": False,
        "include_qkv_bias": False,
        "attention_layer_norm": False,
        "input_emb_norm": False,
        "scale_logits": False,
        "alibi": False,
        "rope": True,
        "rope_full_precision": True,
        "attention_dropout": 0.0,
        "embedding_dropout": 0.0,
        "residual_dropout": 0.0,
    },
    unlike_ours={
        "block_type": "sequential",
        "activation_type": "swiglu",
        "layer_norm_type": "default",
        "rope": False,
    },
    neutral={"clip_qkv": None, "norm_after": False},
    inert={
        "architectures": ["LLaDAModelLM"],
        "alibi_bias_max": 8.0,
        "attention_layer_norm_with_affine": True,
        "flash_attention": False,
        "init_cutoff_factor": None,
        "init_device": "meta",
        "init_fn": "mitchell",
        "init_std": 0.02,
        "mlp_ratio": 4,
        "multi_query_attention": None,
        "precision": "amp_bf16",
        "transformers_version": "4.46.3",
        "use_cache": False,
    },
)
_LLAMA = Layout(
    sizes={
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "num_key_value_heads": "n_kv_heads",
        "intermediate_size": "ffn_hidden",
        "vocab_size": "vocab_size",
        "max_position_embeddings": "max_sequence_length",
        "mask_token_id": "mask_token_id",
        "eos_token_id": "eos_token_id",
        "rope_theta": "rope_theta",
        "rms_norm_eps": "rms_norm_eps",
        "tie_word_embeddings": "tied_embeddings",
    },
    # False in every class of this family; what they take for rope_theta differs between them.
    defaults={"tie_word_embeddings": False},
    fixed={
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "resid_pdrop": 0.0,
        "layer_norm_eps": None,  # with a value, iLLaDA's class takes LayerNorm for RMSNorm
        "rope_scaling": None,
    },
    neutral={
        "partial_rotary_factor": 1.0,
        "pretraining_tp": 1,
        "qk_norm": False,
        "use_qk_norm": False,
        "clip_qkv": None,
        "sliding_window": None,
        "use_sliding_window": False,
        "quantization_config": None,
    },
    inert={
        "architectures": ["ILLaDAForCausalLM"],
        "initializer_range": 0.02,
        "model_type": "illada",
        "use_cache": False,
    },
    outer={"wte": "model.embed_tokens", "ln_f": "model.norm", "ff_out": "lm_head"},
    inner={
        "attn_norm": "input_layernorm",
        "q_proj": "self_attn.q_proj",
        "k_proj": "self_attn.k_proj",
        "v_proj": "self_attn.v_proj",
        "attn_out": "self_attn.o_proj",
        "ff_norm": "post_attention_layernorm",
        "ff_proj": "mlp.gate_proj",
        "up_proj": "mlp.up_proj",
        "ff_out": "mlp.down_proj",
    },
)
LAYOUTS: Mapping[LayoutName, Layout] = {"llada": _LLADA, "llama": _LLAMA}
# Classes that publish this transformer in the names of LLaMA. A file of type "llama" is taken for a
# mask predictor, hence needs its mask token, unless it says `causal`, as the baselines we write do.
_LLAMA_TYPES = ("illada", "llada", "llava_llada", "llama")
_ILLADA_MASK = 5  # from its model card: its config.json does not hold it


def published(config: ModelConfig, layout: LayoutName = "llada") -> dict[str, object]:
    """Return the content of `config.json`: the published keys, in alphabetical order."""
    chosen = LAYOUTS[layout]
    content = {key: getattr(config, name) for key, name in chosen.sizes.items()}
    content |= {**chosen.fixed, **chosen.inert}
    content["pad_token_id"] = config.eos_token_id  # EOS is the padding, and part of the answer
    if layout == "llada":
        content["embedding_size"] = config.vocab_size
    if config.causal:
        content[_CAUSAL] = True
        if layout == "llama":
            content |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    return dict(sorted(content.items()))


def config_of(content: Mapping[str, object], overrides: Mapping[str, object]) -> ModelConfig:
    """Return the architecture that a published `config.json` describes.

    `overrides` are fields of `ModelConfig` that count instead of the file.

    Raises:
        LladaError: The file describes what this code would compute wrongly, or lacks a size.

    """
    layout = LAYOUTS["llada" if "d_model" in content else "llama"]
    content = _with_defaults(dict(content), layout)
    _refuse_other_functions(content, layout)
    fields = {name: content.get(key) for key, name in layout.sizes.items()} | dict(overrides)
    missing = [key for key, name in layout.sizes.items() if fields[name] is None]
    if missing:
        raise LladaError(
            f"no {', '.join(missing)}; this layout has all of {', '.join(layout.sizes)}: add what "
            f"is missing, or give mask_token_id and eos_token_id when loading (the mask token is "
            f"126336 in LLaDA, {_ILLADA_MASK} in iLLaDA)"
        )
    for name in ("mask_token_id", "eos_token_id"):
        if isinstance(fields[name], list):
            raise LladaError(
                f"{name} is {fields[name]}; one id is needed: give {name} when loading"
            )
    return ModelConfig.model_validate({_CAUSAL: content.get(_CAUSAL, False)} | fields)


def _with_defaults(content: dict[str, object], layout: Layout) -> dict[str, object]:
    """Fill in what the published classes themselves fill in."""
    content = {**layout.defaults, **{k: v for k, v in content.items() if v is not None}}
    if layout is _LLADA:
        if "n_kv_heads" not in content and "n_heads" in content:
            content["n_kv_heads"] = (
                1 if content.get("multi_query_attention") else content["n_heads"]
            )
        if "mlp_hidden_size" not in content and isinstance(width := content.get("d_model"), int):
            content["mlp_hidden_size"] = int(str(content.get("mlp_ratio", 4))) * width
        return content
    if "num_key_value_heads" not in content and "num_attention_heads" in content:
        content["num_key_value_heads"] = content["num_attention_heads"]
    # transformers 5 gathers the rotary keys, and writes the plain kind out as "default".
    for key in ("rope_parameters", "rope_scaling"):
        rotary = content.get(key)
        if isinstance(rotary, Mapping):
            content.setdefault("rope_theta", rotary.get("rope_theta"))
            kind = rotary.get("rope_type", rotary.get("type", "default"))
            if kind == "default" and rotary.get("factor", 1.0) == 1.0:
                del content[key]
    if content.get("model_type") == "illada":
        content.setdefault("mask_token_id", _ILLADA_MASK)
    return content


def _refuse_other_functions(content: Mapping[str, object], layout: Layout) -> None:
    expected = {**layout.fixed, **layout.neutral}
    if layout is _LLADA:
        expected["embedding_size"] = content.get("vocab_size")
    else:
        expected["rope_parameters"] = None
        width, heads = content.get("hidden_size"), content.get("num_attention_heads")
        if isinstance(width, int) and isinstance(heads, int) and heads > 0:
            expected["head_dim"] = width // heads
        if content.get("model_type", "illada") not in _LLAMA_TYPES:
            raise LladaError(
                f"model_type is {content['model_type']!r}; this code computes "
                f"{', '.join(_LLAMA_TYPES)} only: load the model with the program that wrote it"
            )
    for key, ours in expected.items():
        found = content.get(key, layout.unlike_ours.get(key, ours))
        if found != ours:
            absent = "" if key in content else " (the default of the published class)"
            raise LladaError(
                f"{key} is {found!r}{absent}; this code computes {ours!r} only: "
                f"load the model with the program that wrote it"
            )
