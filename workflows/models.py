"""Which model a command means: a folder in the published layout, or an artifact of the store."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.pretrain import model_folder
from pipelines.storage import store_root
from workflows.artifact import Artifact, all_artifacts
from workflows.errors import RefError
from workflows.lineage.refs import resolve

if TYPE_CHECKING:
    from llada.pretrained import Pretrained


def load_model(
    store: str,
    choice: str | None,
    *,
    name: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
) -> "Pretrained":
    """Load the model that `choice` names, with its tokenizer; None: the newest of the store.

    A folder with a config.json wins over an artifact of the same name.

    Raises:
        RefError: neither a folder nor a model of the store has that name.
        LladaError: the folder lacks a file, or its files disagree.
    """
    import torch

    from llada.pretrained import Pretrained

    kind: torch.dtype = getattr(torch, dtype)
    if choice is not None and (Path(choice) / "config.json").is_file():
        return Pretrained.load(choice, name=name, dtype=kind, device=device)
    artifact = _artifact(store, choice)
    called = name or f"{artifact.manifest.name}@{artifact.manifest.key[:8]}"
    folder = model_folder(artifact.as_input())
    return Pretrained.load(folder, name=called, dtype=kind, device=device)


def _artifact(store: str, choice: str | None) -> Artifact:
    root = store_root(store)
    if choice is not None:
        try:
            found = resolve(root, choice)
        except RefError as error:
            if not Path(choice).is_dir():
                raise
            raise RefError(
                f"{choice} is a folder without config.json, and no artifact either; a model "
                "folder has config.json, *.safetensors and tokenizer.json"
            ) from error
        if found.manifest.makes != "model":
            raise RefError(
                f"{choice!r} is a {found.manifest.kind} artifact; a model comes from the kinds "
                "pretrain and sft, or is a folder with config.json, weights and tokenizer.json"
            )
        return found
    models = [a for a in all_artifacts(root) if a.manifest.makes == "model"]
    if not models:
        raise RefError(
            f"no trained model in {root}. Train one first: llada run workflows/recipes/demo.yaml, "
            f"or name a folder in the published layout with --model"
        )
    return models[-1]
