"""A model's folder on disk: `config.json` and safetensors in a published layout, bit for bit."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from llada.config import ModelConfig
from llada.errors import LladaError
from llada.layouts import LAYOUTS, LayoutName, config_of, published
from llada.survey import INDEX, SINGLE, Stored, match, opened, read_json, survey

_CONFIG = "config.json"
_EMBEDDING, _HEAD = "model.transformer.wte.weight", "model.transformer.ff_out.weight"


def read_config(folder: Path, **overrides: object) -> ModelConfig:
    """Read `config.json`, refusing a model that this code would compute wrongly.

    `overrides` are fields of the config that count instead of the file's, for a file without them.
    """
    path = folder / _CONFIG
    if not path.is_file():
        raise LladaError(
            f"no config.json in {folder}; give a folder in a published layout, completely written"
        )
    content = read_json(path)
    try:
        return config_of(content, overrides)
    except LladaError as error:
        raise LladaError(f"{path}: {error}") from error


def read_tensors(
    folder: Path,
    shapes: Mapping[str, torch.Size],
    *,
    dtype: torch.dtype | None,
    device: torch.device | str,
) -> dict[str, Tensor]:
    """Read exactly the named tensors, under our names; what is amiss is found before any is read.

    Args:
        folder: Where the weights are, in the names of either layout.
        shapes: Our name of every tensor of the model, and its shape.
        dtype: What to convert each tensor to; None keeps the precision of the files.
        device: Where each tensor goes. On a CPU and without conversion they stay mapped: pages of
            the file come in as they are touched, and nothing is copied.

    Raises:
        LladaError: As `survey` and `match`; or the precision is mixed and `dtype` is None; or a
            model with tied embeddings comes with a head that differs from them.

    """
    stored = survey(folder)
    layout = LAYOUTS["llada" if any(_is_llada(name) for name in stored) else "llama"]
    ours = {layout.tensor(name): name for name in shapes}
    if _HEAD not in shapes and layout.tensor(_HEAD) in stored:
        _refuse_another_head(stored, layout.tensor(_EMBEDDING), layout.tensor(_HEAD))
        del stored[layout.tensor(_HEAD)]
    match(folder, stored, {name: shapes[our_name] for name, our_name in ours.items()})
    precisions = sorted({entry.precision for entry in stored.values()})
    if dtype is None and len(precisions) > 1:
        raise LladaError(
            f"{folder}: the weights mix {', '.join(precisions)}; a model computes in one "
            f"precision: choose it with dtype="
        )
    tensors: dict[str, Tensor] = {}
    for file in sorted({entry.file for entry in stored.values()}):
        with opened(file, device) as mapped:
            for name in (name for name, entry in stored.items() if entry.file == file):
                tensor = mapped.get_tensor(name)
                tensors[ours[name]] = tensor if dtype is None else tensor.to(dtype)
    return tensors


def write(
    folder: Path,
    config: ModelConfig,
    state: Mapping[str, Tensor],
    *,
    layout: LayoutName = "llada",
    max_shard_bytes: int | None = None,
) -> None:
    """Write weights, then their index, then `config.json`: a folder with its config is complete.

    New files are written beside the old ones and take their names at the end, after the old config
    is gone. A crash leaves the old model, or a folder that `read_config` refuses, or the new model.

    Args:
        folder: Made if it is not there.
        config: The architecture of `state`.
        state: The state dict of a `MaskPredictor`.
        layout: Whose names to use.
        max_shard_bytes: Split into files of at most this many bytes of tensors, and an index (a
            larger tensor gets a file of its own); None writes one file.

    """
    if layout not in LAYOUTS:
        raise LladaError(f"no layout named {layout!r}; choose one of {', '.join(LAYOUTS)}")
    if max_shard_bytes is not None and max_shard_bytes < 1:
        raise LladaError(f"max_shard_bytes={max_shard_bytes}; use 1 or more, or None for one file")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {LAYOUTS[layout].tensor(name): tensor for name, tensor in state.items()}
    shards = _shards(tensors, max_shard_bytes)
    for file, names in shards.items():
        ready = {name: tensors[name].detach().cpu().contiguous() for name in names}
        save_file(ready, _unfinished(folder, file), metadata={"format": "pt"})
        # safetensors leaves a file to its owner alone; a model is for whoever may read the folder.
        _unfinished(folder, file).chmod(folder.stat().st_mode & 0o666)
    for old in (folder / _CONFIG, folder / INDEX, *folder.glob("model*.safetensors")):
        old.unlink(missing_ok=True)
    for file in shards:
        _publish(folder, file)
    if max_shard_bytes is not None:
        where = {name: file for file, names in shards.items() for name in names}
        total = {"total_size": sum(tensor.nbytes for tensor in tensors.values())}
        _write_json(folder, INDEX, {"metadata": total, "weight_map": where})
    _write_json(folder, _CONFIG, published(config, layout))


def _is_llada(name: str) -> bool:
    return name.startswith("model.transformer.")


def _refuse_another_head(stored: Mapping[str, Stored], embedding: str, head: str) -> None:
    """Let a head pass that is only the tied embedding stored twice."""
    if embedding in stored:
        with opened(stored[embedding].file, "cpu") as one, opened(stored[head].file, "cpu") as two:
            if torch.equal(one.get_tensor(embedding), two.get_tensor(head)):
                return
    raise LladaError(
        f"{stored[head].file}: unexpected tensor {head} of shape {stored[head].shape}; config.json "
        f"ties the head to {embedding}, which differs: use the config.json of these weights"
    )


def _shards(tensors: Mapping[str, Tensor], limit: int | None) -> dict[str, list[str]]:
    """Deal tensors to files in their order, so that a layer stays together as far as it fits."""
    if limit is None:
        return {SINGLE: list(tensors)}
    shards: list[list[str]] = []
    room = 0
    for name, tensor in tensors.items():
        if not shards or tensor.nbytes > room:
            shards.append([])
            room = limit
        shards[-1].append(name)
        room -= tensor.nbytes
    count = len(shards)
    return {
        f"model-{i:05}-of-{count:05}.safetensors": names for i, names in enumerate(shards, start=1)
    }


def _unfinished(folder: Path, name: str) -> Path:
    return folder / f".{name}.unfinished"


def _publish(folder: Path, name: str) -> None:
    """Give a file its name once its bytes are on the disk."""
    unfinished = _unfinished(folder, name)
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(unfinished, folder / name)


def _write_json(folder: Path, name: str, content: Mapping[str, object]) -> None:
    _unfinished(folder, name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _publish(folder, name)
