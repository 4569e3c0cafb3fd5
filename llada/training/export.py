"""A checkpoint of a training as a model, at any time, without the engine.

Whatever ZeRO stage and number of workers wrote it, and whether the training still runs or not.
"""

import json
import logging
from pathlib import Path
from typing import NamedTuple

import torch

from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.training.checkpoint import JOB, complete_checkpoints, defect
from llada.training.errors import CheckpointError
from llada.training.retention import Checkpoint
from llada.training.state_files import consolidate

logger = logging.getLogger(__name__)


class Exported(NamedTuple):
    """Which step became a model, and which newer checkpoints were damaged and passed over."""

    step: int
    passed_over: tuple[str, ...]


def load_checkpoint(root: Path, *, step: int | None = None) -> tuple[MaskPredictor, Exported]:
    """Return the model of the newest intact checkpoint under `root`, or of `step`, in float32.

    Every file is held against its manifest first; a damaged checkpoint is named and the one before
    it taken, but never in place of a step that was asked for.

    Raises:
        CheckpointError: there is no intact checkpoint, or not the one asked for.
    """
    passed_over: list[str] = []
    for checkpoint in complete_checkpoints(root):
        if step is not None and checkpoint.step != step:
            continue
        found = defect(checkpoint.folder, range(checkpoint.world_size))
        if found is None:
            return _model(root, checkpoint), Exported(checkpoint.step, tuple(passed_over))
        passed_over.append(f"{checkpoint.folder.name}: {found}")
        logger.warning("checkpoint %s is passed over: %s", checkpoint.folder, found)
    raise CheckpointError(_nothing(root, step, passed_over))


def _model(root: Path, checkpoint: Checkpoint) -> MaskPredictor:
    # One that came back from a bucket has its job beside it, not in the folder of all.
    job = next(path for path in (root / JOB, checkpoint.folder / JOB) if path.is_file())
    config = ModelConfig.model_validate(json.loads(job.read_bytes())["model"])
    with torch.device("meta"):
        model = MaskPredictor(config)
    model.load_state_dict(consolidate(checkpoint.folder), assign=True)
    return model


def _nothing(root: Path, step: int | None, passed_over: list[str]) -> str:
    steps = sorted({checkpoint.step for checkpoint in complete_checkpoints(root)})
    there = f"complete are those of step {', '.join(map(str, steps))}" if steps else "none is there"
    damaged = f"; damaged: {'; '.join(passed_over)}" if passed_over else ""
    asked = "an intact checkpoint" if step is None else f"an intact checkpoint of step {step}"
    return (
        f"{root} has not {asked}: {there}{damaged}; choose another step, or let the training write "
        "its next one"
    )
