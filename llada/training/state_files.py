"""Training state on disk: named float32 pieces that any number of ranks, at any stage, can read.

Each rank writes one safetensors file with what it owns: of every parameter a contiguous piece of
the flattened master weights and of both AdamW moments, and where in the parameter it starts. How
the pieces were cut is thus data, and a reader takes whatever part it owns now: bit-exact, without
a conversion, and with nothing pickled.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from llada.training.errors import CheckpointError

PARTS = ("master", "exp_avg", "exp_avg_sq")
_PREFIX = "predictor."  # of llada.training.objective.Objective


class Fragment(NamedTuple):
    """A contiguous piece of one parameter, flattened, in each of `PARTS`."""

    name: str
    shape: tuple[int, ...]
    """Of the whole parameter."""
    start: int
    parts: Mapping[str, Tensor]
    """One-dimensional float32, all of the same length."""

    @property
    def numel(self) -> int:
        """Return the length of the piece."""
        return self.parts["master"].numel()


def write_state(
    folder: Path, rank: int, fragments: Iterable[Fragment], *, updates: int
) -> list[Path]:
    """Write the file of one rank; `updates` is AdamW's own count of steps. Return its path."""
    tensors, places = {}, {}
    for fragment in fragments:
        places[fragment.name] = {"start": fragment.start, "shape": fragment.shape}
        for part, tensor in fragment.parts.items():
            tensors[f"{part}/{fragment.name}"] = tensor
    path = folder / f"state-{rank:05d}.safetensors"
    header = {"fragments": json.dumps(places), "updates": str(updates)}
    save_file(tensors, path, metadata=header)
    return [path]


def read_state(folder: Path, fragments: Iterable[Fragment]) -> int:
    """Fill the pieces from a folder of any other cut, in place; return AdamW's count of steps.

    Raises:
        CheckpointError: the files hold other parameters than these.
    """
    with _opened(folder) as files:
        for fragment in fragments:
            found = 0
            for file in files:
                found += file.copy_into(fragment)
            if found != fragment.numel:
                msg = (
                    f"{folder} holds {found} of the {fragment.numel} values of {fragment.name} "
                    "that this rank needs; it was written for another model: use a checkpoint_dir "
                    "of its own for every job"
                )
                raise CheckpointError(msg)
        return max(file.updates for file in files)


def consolidate(folder: Path) -> dict[str, Tensor]:
    """Return the float32 weights of the predictor from a checkpoint, however it was cut."""
    weights: dict[str, Tensor] = {}
    with _opened(folder) as files:
        for file in files:
            for name, shape in file.shapes():
                key = name.removeprefix(_PREFIX)
                whole = weights.setdefault(key, torch.empty(shape, dtype=torch.float32))
                file.copy_into(Fragment(name, shape, 0, {"master": whole.view(-1)}))
    return weights


class _StateFile:
    """One rank's file, its tensors still on the disk."""

    def __init__(self, handle: Any) -> None:
        header = handle.metadata()
        self._handle = handle
        self._places: dict[str, dict[str, Any]] = json.loads(header["fragments"])
        self.updates = int(header["updates"])

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        for name, place in self._places.items():
            yield name, tuple(place["shape"])

    def copy_into(self, fragment: Fragment) -> int:
        """Copy what both hold of one parameter; return how many values that was."""
        place = self._places.get(fragment.name)
        if place is None or tuple(place["shape"]) != fragment.shape:
            return 0
        count = 0
        for part, target in fragment.parts.items():
            source = self._handle.get_slice(f"{part}/{fragment.name}")
            held = place["start"] + source.get_shape()[0]
            first = max(fragment.start, place["start"])
            end = min(fragment.start + fragment.numel, held)
            if (count := max(0, end - first)) > 0:
                piece = source[first - place["start"] : end - place["start"]]
                target[first - fragment.start : end - fragment.start].copy_(piece)
        return count


@contextmanager
def _opened(folder: Path) -> Iterator[Sequence[_StateFile]]:
    with ExitStack() as stack:
        paths = sorted(folder.glob("state-*.safetensors"))
        yield [_StateFile(stack.enter_context(safe_open(path, "pt"))) for path in paths]
