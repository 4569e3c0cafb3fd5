"""Pre-training and SFT as stages: token shards or pairs in, a model in the published layout out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from llada.training.config import TrainingConfig
from llada.training.schedule import ScheduleConfig
from pipelines.ledger import Count, Ledger
from pipelines.shards import describe
from pipelines.storage import write_bytes
from pipelines.tokenize import tokenizer_folder
from pipelines.workspace import InputArtifact, Progress, StageOutput, Workspace

if TYPE_CHECKING:
    from llada.config import ModelConfig
    from llada.training.job import StepMetrics, TrainingJob


class PretrainConfig(TrainingConfig):
    """The training recipe and the model it trains."""

    model: str = "tiny"
    """A preset of llada.config; its vocabulary and special ids come from the tokenizer."""


class SftConfig(TrainingConfig):
    """The training recipe of supervised fine-tuning (section 2.3, B.1)."""

    random_length_fraction: float = Field(default=0.0, ge=0, le=0)
    """SFT has no random lengths: the answer's own length counts."""
    schedule: ScheduleConfig = ScheduleConfig(
        peak=2.5e-5, warmup_steps=50, lower=None, decay_last=0.1, final=2.5e-6
    )


def pretrain(workspace: Workspace, config: PretrainConfig) -> StageOutput:
    """Train a mask predictor from scratch on the slot `tokens` (Eq. 3)."""
    from llada.config import ModelConfig
    from llada.tokenizer import Tokenizer

    tokens = workspace.input("tokens")
    tokenizer = Tokenizer.load(tokenizer_folder(tokens))
    model = ModelConfig.preset(
        config.model,
        vocab_size=tokenizer.vocab_size,
        mask_token_id=tokenizer.special.mask,
        eos_token_id=tokenizer.special.eos,
        max_sequence_length=tokens.info["sequence_length"],
    )
    return _train(workspace, config, model, tokens, tokens, objective="pretrain", start_from=None)


def finetune(workspace: Workspace, config: SftConfig) -> StageOutput:
    """Fine-tune the slot `model` on the slot `pairs` (Eq. 5); prompts stay untouched."""
    from llada.weights import read_config

    base = workspace.input("model")
    start_from = model_folder(base)
    return _train(
        workspace,
        config,
        read_config(start_from),
        workspace.input("pairs"),
        base,
        objective="sft",
        start_from=str(start_from),
    )


def model_folder(artifact: InputArtifact) -> Path:
    """Return the folder with config.json, weights and tokenizer, its files checked."""
    return artifact.paths("model")[0].parent


def _train(
    workspace: Workspace,
    config: TrainingConfig,
    model: "ModelConfig",
    data: InputArtifact,
    tokenizer: InputArtifact,
    *,
    objective: Literal["pretrain", "sft"],
    start_from: str | None,
) -> StageOutput:
    from llada.training.job import TrainingJob
    from llada.training.ray_entry import train
    from llada.training.shards import Shard

    output = workspace.root / f"model-{workspace.attempt}"
    shards = tuple(
        Shard(path=str(data.path(entry)), rows=entry.rows) for entry in data.entries("data")
    )
    fields = TrainingConfig.model_fields
    job = TrainingJob(
        objective=objective,
        model=model,
        init_from=start_from,
        shards=shards,
        training=TrainingConfig(**{name: getattr(config, name) for name in fields}),
        checkpoint_dir=str(workspace.root / "checkpoints"),
        output_dir=str(output),
    )
    losses = _run(workspace, job, train)
    _carry_tokenizer(tokenizer, output)
    files = tuple(
        describe(workspace.root, path, "model", shard=path.name, rows=1)
        for path in sorted(output.iterdir())
    )
    return StageOutput(
        files=files,
        ledger=_ledger(data, config),
        metrics={
            "loss_first": losses[0],
            "loss_last": sum(losses[-10:]) / len(losses[-10:]),
            "steps": config.steps,
            "parameters": model.parameter_count(),
        },
        info={"folder": output.name, "losses": losses, "model": model.model_dump(mode="json")},
        schema="published LLaDA layout: config.json, model.safetensors, tokenizer.json",
    )


def _run(workspace: Workspace, job: "TrainingJob", train: "Callable[..., object]") -> list[float]:
    """Train and return the loss of every step, in order."""
    losses: dict[int, float] = {}
    total = job.training.steps

    def on_metrics(metrics: "StepMetrics") -> None:
        losses[metrics.step] = metrics.loss
        workspace.on_metrics(metrics.step, _numbers(metrics))
        note = f"loss {metrics.loss:.3f}, {metrics.tokens_per_second:,.0f} tokens/s"
        workspace.on_progress(Progress(metrics.step + 1, total, "steps", note))

    workspace.executor.connect()
    with TemporaryDirectory(prefix="llada-train-") as scratch:
        train(
            job,
            workers=workspace.resources.workers,
            cpus_per_worker=1.0,
            run_name=f"{workspace.stage}-{workspace.attempt}",
            scratch=Path(scratch),
            max_failures=workspace.resources.max_failures,
            on_metrics=on_metrics,
        )
    return [losses[step] for step in sorted(losses)]


def _numbers(metrics: "StepMetrics") -> Mapping[str, float]:
    values = metrics.model_dump()
    return {name: float(value) for name, value in values.items() if name != "step"}


def _carry_tokenizer(artifact: InputArtifact, folder: Path) -> None:
    """Put the tokenizer beside the weights: a model without its tokenizer says nothing."""
    role: Literal["model", "aside"] = "model" if artifact.entries("model") else "aside"
    for path in artifact.paths(role):
        if path.name.startswith("tokenizer"):
            write_bytes(folder / path.name, path.read_bytes())


def _ledger(data: InputArtifact, config: TrainingConfig) -> Ledger:
    """Rows offered = rows seen at least once + rows the budget of steps did not reach."""
    rows = sum(entry.rows for entry in data.entries("data"))
    seen = min(rows, config.steps * config.batch_size)
    missed = Count(rows=rows - seen)
    return Ledger(
        unit="sequences" if data.kind == "tokens" else "pairs",
        entered=Count(rows=rows),
        kept=Count(rows=seen),
        dropped={"not_reached": missed} if missed.rows else {},
    )
