"""A trained model, or one in training, as a folder in the published layout."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines import storage
from pipelines.local_copies import scratch
from pipelines.pretrain import model_folder
from pipelines.storage import StorePath
from workflows.artifact import MANIFEST
from workflows.errors import RefError, UsageError
from workflows.lineage.refs import resolve

if TYPE_CHECKING:
    from llada.layouts import LayoutName
    from llada.model import MaskPredictor

_KINDS = ("pretrain", "sft")
_TOKENIZER = "tokenizer"
_COMPLETE = "COMPLETE.json"
_SHARD_BYTES = 5_000_000_000  # what readers of the hub expect of one file


@dataclass(frozen=True)
class ExportedModel:
    """What was written, and from where."""

    folder: Path
    origin: str
    passed_over: tuple[str, ...] = ()
    """Checkpoints found damaged; the one before was taken."""


@dataclass(frozen=True)
class Form:
    """How the weights are written."""

    layout: "LayoutName" = "llada"
    """The names of the published LLaDA, or those of LLaMA."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """float32 is what was trained; bfloat16 what is published, half as large."""


AS_TRAINED = Form()


def export_model(store: StorePath, ref: str, out: Path, form: Form = AS_TRAINED) -> ExportedModel:
    """Write the published model that `ref` names: tokenizer, weights, config.json last.

    Raises:
        RefError: nothing answers to it, or no model does.
        UsageError: `out` holds something already.
    """
    from llada.model import MaskPredictor

    found = resolve(store, ref)
    if found.manifest.makes != "model":
        raise RefError(
            f"{ref!r} is a {found.manifest.kind} artifact; a model comes from the kinds "
            f"{' and '.join(_KINDS)}"
        )
    _require_room(out)
    source = model_folder(found.as_input())
    _write(MaskPredictor.from_pretrained(source), source, out, form)
    return ExportedModel(out, found.label)


def export_in_training(
    store: StorePath, name: str, out: Path, step: int | None, form: Form = AS_TRAINED
) -> ExportedModel:
    """Write a checkpoint of the stage `name`, whose training is under way or ended early.

    `step`: which one; None takes the newest that is intact.

    Raises:
        RefError: no training of that name has checkpoints.
        UsageError: `out` holds something already.
        CheckpointError: none is intact, or not the one asked for.
    """
    from llada.training.export import load_checkpoint

    root = _checkpoints(store, name)
    _require_room(out)
    model, done = load_checkpoint(root, step=step)
    _write(model, root, out, form)
    return ExportedModel(out, f"{root.parent.name}, step {done.step}", done.passed_over)


def _write(model: "MaskPredictor", tokenizer: Path, out: Path, form: Form) -> None:
    import torch

    for path in tokenizer.glob(f"{_TOKENIZER}*"):
        shutil.copyfile(path, out / path.name)
    model.to(torch.float32 if form.dtype == "float32" else torch.bfloat16)
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    at_once = None if size <= _SHARD_BYTES else _SHARD_BYTES
    model.save_pretrained(out, layout=form.layout, max_shard_bytes=at_once)


def _checkpoints(store: StorePath, name: str) -> Path:
    """Return the folder of checkpoints that was written to last."""
    folders = [folder for kind in _KINDS for folder in _children(store / kind)]
    named = [folder for folder in folders if folder.name.rpartition("-")[0] == name]
    there = [root for root in map(_at_hand, named) if root is not None]
    if not there:
        trained = sorted({f.name.rpartition("-")[0] for f in folders if not _published(f)})
        raise RefError(
            f"no training of a stage '{name}' has checkpoints in {store}; unfinished there: "
            f"{', '.join(trained) or 'none'}. A finished model is exported without --step."
        )
    return max(there, key=lambda root: root.stat().st_mtime_ns)


def _at_hand(folder: StorePath) -> Path | None:
    """Return where the checkpoints of a stage lie on this machine, if it has any.

    From a bucket the newest one is fetched first, unless one as new is here.
    """
    there = folder / "checkpoints"
    root = scratch(there)
    if not isinstance(there, Path) and (names := storage.children(there)):
        from pipelines.checkpoint_mirror import bring_back

        root.mkdir(parents=True, exist_ok=True)
        bring_back(root, there)
        beside = [there / name for name in names if name.startswith(_TOKENIZER)]
        for path, content in storage.read_all(beside).items():
            (root / path.name).write_bytes(content)
    return root if any(root.glob(f"step-*/{_COMPLETE}")) else None


def _children(folder: StorePath) -> list[StorePath]:
    try:
        return sorted(folder.iterdir(), key=str)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _published(folder: StorePath) -> bool:
    return (folder / MANIFEST).exists()


def _require_room(out: Path) -> None:
    """Make the folder; refuse one that holds files, which could end up mixed with the model's."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"--out {out} is a file; name a folder that is new or empty") from error
    if found := sorted(path.name for path in out.iterdir()):
        raise UsageError(
            f"--out {out} holds {found[0]} already; name a folder that is new or empty"
        )
