"""The published LLaDA layout on disk: `config.json` and safetensors, kept bit for bit."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from llada.config import ModelConfig
from llada.errors import LladaError

# published key -> our field
_SIZES: Mapping[str, str] = {
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
}
# What every model of this code is. Written as published; a file that says otherwise is refused.
_FIXED: Mapping[str, object] = {
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
}
# Published keys that do not change the function; written so that other readers find them.
_INERT: Mapping[str, object] = {
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
}
_CAUSAL = "causal"  # ours: only the autoregressive baseline has it, and no published model is one
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"


def published(config: ModelConfig) -> dict[str, object]:
    """Return the content of `config.json`: the published keys, in alphabetical order."""
    content: dict[str, object] = {key: getattr(config, field) for key, field in _SIZES.items()}
    content |= {**_FIXED, **_INERT}
    content["embedding_size"] = config.vocab_size
    content["pad_token_id"] = config.eos_token_id  # EOS is the padding, and part of the answer
    if config.causal:
        content[_CAUSAL] = True
    return dict(sorted(content.items()))


def read_config(folder: Path) -> ModelConfig:
    """Read `config.json`, refusing a model that this code would compute wrongly."""
    path = folder / "config.json"
    if not path.is_file():
        raise LladaError(f"no config.json in {folder}; give a folder in the published LLaDA layout")
    content = json.loads(path.read_text(encoding="utf-8"))
    for key, expected in {**_FIXED, "embedding_size": content.get("vocab_size")}.items():
        if content.get(key, expected) != expected:
            raise LladaError(
                f"{path}: {key} is {content[key]!r}; this code computes {expected!r} only: "
                f"load the model with the program that wrote it"
            )
    missing = [key for key in _SIZES if key not in content]
    if missing:
        raise LladaError(
            f"{path}: no {', '.join(missing)}; the published LLaDA layout has all of "
            f"{', '.join(_SIZES)}: add what is missing"
        )
    fields = {field: content[key] for key, field in _SIZES.items()}
    return ModelConfig.model_validate({**fields, "causal": content.get(_CAUSAL, False)})


def read_tensors(
    folder: Path,
    shapes: Mapping[str, torch.Size],
    *,
    dtype: torch.dtype | None,
    device: torch.device | str,
) -> dict[str, Tensor]:
    """Read exactly the named tensors; one that is missing, left over or misshaped is an error."""
    tensors: dict[str, Tensor] = {}
    for file in _weight_files(folder):
        with safe_open(file, framework="pt", device=str(device)) as opened:
            for name in opened.keys():  # noqa: SIM118  (not a mapping)
                found = torch.Size(opened.get_slice(name).get_shape())
                if name not in shapes:
                    raise LladaError(
                        f"{file}: unexpected tensor {name} of shape {tuple(found)}; config.json "
                        f"describes a model without it: use the config.json of these weights"
                    )
                if found != shapes[name]:
                    raise LladaError(
                        f"{file}: {name} has shape {tuple(found)}, expected {tuple(shapes[name])} "
                        f"by config.json: use the config.json of these weights"
                    )
                tensor = opened.get_tensor(name)
                tensors[name] = tensor if dtype is None else tensor.to(dtype)
    for name, shape in shapes.items():
        if name not in tensors:
            raise LladaError(
                f"{folder}: {name} is missing, expected with shape {tuple(shape)}; found "
                f"{len(tensors)} of {len(shapes)} tensors: complete the download"
                f" or check config.json"
            )
    return tensors


def write(folder: Path, config: ModelConfig, state: Mapping[str, Tensor]) -> None:
    """Write weights, then `config.json`: a folder that has its config is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    unfinished = folder / f".{_SINGLE}.unfinished"
    save_file(tensors, unfinished, metadata={"format": "pt"})
    os.replace(unfinished, folder / _SINGLE)
    text = json.dumps(published(config), indent=2) + "\n"
    unfinished = folder / ".config.json.unfinished"
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, folder / "config.json")


def _weight_files(folder: Path) -> list[Path]:
    """Return the files to read: the shards the index names, or the one file."""
    index = folder / _INDEX
    if index.is_file():
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        files = [folder / name for name in sorted(set(shards))]
    else:
        files = [folder / _SINGLE]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise LladaError(
            f"{folder}: no {', '.join(absent)}; weights are {_SINGLE}, or the shards named in "
            f"{_INDEX}: complete the download"
        )
    return files
