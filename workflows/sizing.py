"""What the trainings of a plan will take: read off the recipe, before any of it has run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from llada.config import ModelConfig
from llada.errors import LladaError
from llada.training.memory import Setting
from llada.training.sizing import DEFAULT_MFU, Sizing, size
from pipelines.pretrain import PretrainConfig, SftConfig, TrainedStage
from workflows.errors import UsageError

if TYPE_CHECKING:
    from workflows.plan import Planned

_OPEN = ("RUN", "RESUME", "MAYBE")
_SPECIAL = {"mask_token_id": 1, "eos_token_id": 0}  # which ids they are changes no figure


def sizings(planned: Sequence["Planned"], mfu: float) -> dict[str, Sizing]:
    """Return the figures of the trainings that are still to run, by stage.

    A training is left out where nothing known yet says how long its rows are.

    Raises:
        UsageError: a training cannot be as written: too short for its warm-up, or a batch that
            does not divide among its workers.
    """
    by_name = {one.stage.name: one for one in planned}
    found = {}
    for one in planned:
        config = one.stage.config
        if one.verdict in _OPEN and isinstance(config, TrainedStage):
            model = _model(one, by_name)
            if model is not None:
                found[one.stage.name] = _sizing(one, config, model, by_name, mfu)
    return found


def too_large(found: Mapping[str, Sizing]) -> str | None:
    """Return what to tell about the first training that cannot fit its GPU, and what would."""
    for name, sizing in found.items():
        if not sizing.fits:
            assert sizing.gpu_memory is not None
            needed = sizing.memory_by_stage[sizing.zero_stage]
            ways = "; or ".join(sizing.remedies)
            return (
                f"stage '{name}' cannot fit: a step at ZeRO-{sizing.zero_stage} needs "
                f"{needed / 1e9:,.1f} GB a GPU, {sizing.gpu} has {sizing.gpu_memory / 1e9:,.0f} "
                f"GB. What would fit: {ways}. (--set {name}.KEY=VALUE; without resources.gpu "
                "nothing is checked.)"
            )
    return None


def require_fit(planned: Sequence["Planned"]) -> None:
    """Say before the first stage runs what the last one would run out of memory on.

    Raises:
        UsageError: a training cannot fit the GPU that its stage names.
    """
    if (refusal := too_large(sizings(planned, DEFAULT_MFU))) is not None:
        raise UsageError(refusal)


def _sizing(
    planned: "Planned",
    config: TrainedStage,
    model: ModelConfig,
    by_name: Mapping[str, "Planned"],
    mfu: float,
) -> Sizing:
    stage = planned.stage
    resources = stage.resources
    length = model.max_sequence_length
    try:
        config.accumulation(resources.workers)
        steps = config.steps_for(
            batch_size=config.batch_size,
            sequence_length=length,
            rows=_rows(planned, by_name),
        )
        if steps is not None:
            config.training(steps)
        setting = Setting(
            workers=resources.workers,
            micro_batch_size=config.micro_batch_size,
            zero_stage=config.zero_stage,
            precision=config.precision,
            activation_checkpointing=config.activation_checkpointing,
            offload_optimizer=config.offload_optimizer,
        )
        return size(
            model,
            config,
            setting,
            length=length,
            steps=steps,
            rows_may_be_shorter=isinstance(config, SftConfig),
            gpu=resources.gpu,
            mfu=mfu,
        )
    except (LladaError, ValueError) as error:
        raise UsageError(f"stage '{stage.name}' cannot train so: {error}") from error


def _model(planned: "Planned", by_name: Mapping[str, "Planned"]) -> ModelConfig | None:
    """Return the architecture of a training; None where it is not known yet."""
    config, needs = planned.stage.config, planned.stage.needs
    if isinstance(config, PretrainConfig):
        shape = _shape(by_name[needs["tokens"]], by_name)
        return None if shape is None else config.architecture(**shape, **_SPECIAL)
    assert isinstance(config, SftConfig)
    base = by_name[needs["model"]]
    if base.artifact is not None:
        return ModelConfig.model_validate(base.artifact.manifest.info["model"])
    return _model(base, by_name)


def _shape(tokens: "Planned", by_name: Mapping[str, "Planned"]) -> dict[str, int] | None:
    """Return length of rows and size of vocabulary: of the shards, or as the recipe asks them."""
    if tokens.artifact is not None:
        info = tokens.artifact.manifest.info
        length, vocabulary = info["sequence_length"], info["vocab_size"]
    else:
        length = getattr(tokens.stage.config, "sequence_length", None)
        tokenizer = by_name.get(tokens.stage.needs.get("tokenizer", ""))
        vocabulary = getattr(tokenizer.stage.config, "vocab_size", None) if tokenizer else None
    if length is None or vocabulary is None:
        return None
    return {"max_sequence_length": length, "vocab_size": vocabulary}


def _rows(planned: "Planned", by_name: Mapping[str, "Planned"]) -> int | None:
    """Return what an epoch passes over; before it is made, the least its checks ask for."""
    slot = "tokens" if isinstance(planned.stage.config, PretrainConfig) else "pairs"
    data = by_name[planned.stage.needs[slot]]
    if data.artifact is not None:
        manifest = data.artifact.manifest
        rows = sum(entry.rows for entry in manifest.files if entry.role == "data")
        dialogues: int | None = manifest.info.get("dialogues")
        return dialogues or rows
    least = data.stage.checks.min_rows
    return least if "min_rows" in data.stage.checks.model_fields_set else None
