"""What tensors a folder holds, from the headers of its files alone: everything amiss is found here.

A downloaded folder is not to be trusted: pickles are not opened, an index may not point elsewhere.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from llada.errors import LladaError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_PRECISIONS = ("F64", "F32", "F16", "BF16")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
# What a checkpoint may hold beside the language model: rotary angles, which follow from the config,
# and the eyes of LLaDA-V, without which its language model works alone.
_BESIDE = (".rotary_emb.inv_freq",)
_EYES = ("model.vision_tower.", "model.mm_projector.", "model.image_newline")


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies, and what it is."""

    file: Path
    shape: tuple[int, ...]
    precision: str  # as safetensors writes it


def survey(folder: Path) -> dict[str, Stored]:
    """Return every tensor of the folder that may be the model's, under its name on disk.

    Raises:
        LladaError: A file is damaged, absent, pickled or outside the folder; or a tensor is
            doubled, in no known precision, or not where the index says.

    """
    stored: dict[str, Stored] = {}
    index = _index(folder)
    for file in _files(folder, index):
        with opened(file, "cpu") as tensors:
            for name in tensors.keys():  # noqa: SIM118  (not a mapping)
                if _is_beside(name):
                    continue
                if name in stored:
                    raise LladaError(
                        f"{folder}: {name} is in {stored[name].file.name} and in {file.name}; a "
                        f"tensor has one place: download the files and their index again"
                    )
                header = tensors.get_slice(name)
                stored[name] = Stored(file, tuple(header.get_shape()), header.get_dtype())
                if stored[name].precision not in _PRECISIONS:
                    raise LladaError(
                        f"{file}: {name} is of type {stored[name].precision}; allowed are "
                        f"{', '.join(_PRECISIONS)}: use weights that are not quantised"
                    )
    for name, file_name in index.items():
        if not _is_beside(name) and (name not in stored or stored[name].file.name != file_name):
            raise LladaError(
                f"{folder / INDEX}: {name} should be in {file_name}, which lacks it; the index "
                f"belongs to other files: download both again"
            )
    return stored


def match(folder: Path, stored: Mapping[str, Stored], shapes: Mapping[str, torch.Size]) -> None:
    """Refuse any difference between the tensors on disk and those that the config describes."""
    for name, entry in stored.items():
        if name not in shapes:
            raise LladaError(
                f"{entry.file}: unexpected tensor {name} of shape {entry.shape}; config.json "
                f"describes a model without it: use the config.json of these weights"
            )
        if entry.shape != tuple(shapes[name]):
            raise LladaError(
                f"{entry.file}: {name} has shape {entry.shape}, expected {tuple(shapes[name])} "
                f"by config.json: use the config.json of these weights"
            )
    for name, shape in shapes.items():
        if name not in stored:
            raise LladaError(
                f"{folder}: {name} is missing, expected with shape {tuple(shape)}; found "
                f"{len(stored)} of {len(shapes)} tensors: complete the download"
                f" or check config.json"
            )


@contextmanager
def opened(file: Path, device: torch.device | str) -> Iterator[Any]:
    """Open a file of tensors for reading, mapped into memory."""
    try:
        with safe_open(file, framework="pt", device=str(device)) as tensors:
            yield tensors
    except SafetensorError as error:
        raise LladaError(
            f"{file}: its {file.stat().st_size} bytes are no whole safetensors file ({error}): "
            f"download it again"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LladaError(f"{path} is not JSON ({error}): download it again") from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise LladaError(f"{path} holds a {kind}, expected an object of keys: download it again")
    return content


def _is_beside(name: str) -> bool:
    return name.endswith(_BESIDE) or name.startswith(_EYES)


def _index(folder: Path) -> dict[str, str]:
    """Return which file holds which tensor, or nothing if there is no index."""
    path = folder / INDEX
    if not path.is_file():
        return {}
    index = read_json(path).get("weight_map")
    if not isinstance(index, dict) or not index:
        raise LladaError(f"{path} has no weight_map of tensors to files: download it again")
    for name, file in index.items():
        if (
            not isinstance(file, str)
            or Path(file).name != file
            or not file.endswith(".safetensors")
        ):
            raise LladaError(
                f"{path}: {name} lies in {file!r}; allowed are names of .safetensors files of this "
                f"folder: do not trust this download"
            )
    return index


def _files(folder: Path, index: Mapping[str, str]) -> list[Path]:
    files = sorted({folder / name for name in index.values()}) or [folder / SINGLE]
    absent = [file.name for file in files if not file.is_file()]
    if not absent:
        return files
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise LladaError(
            f"{folder}: no {', '.join(absent)}, but {', '.join(pickles)}; pickled weights can run "
            f"any code when opened and are never read: take the safetensors of the same model, or "
            f"convert them on a machine that you can lose"
        )
    raise LladaError(
        f"{folder}: no {', '.join(absent)}; weights are {SINGLE}, or the shards named in {INDEX}: "
        f"complete the download"
    )
