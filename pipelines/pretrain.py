"""Pre-training and SFT as stages: token shards or pairs in, a model in the published layout out.

Training reads and writes local disk. For a store in a bucket the inputs are copied to this
machine first, checkpoints are written here (`local_copies.scratch`) and copied to the store as
they appear (`checkpoint_mirror`), and the finished model is uploaded. So an interrupted training
resumes on any machine. All workers of a training need one disk: for a bucket, one machine.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from llada.config import PRESETS, ModelConfig
from llada.training.accelerators import accelerator
from llada.training.config import Optimisation, TrainingConfig
from llada.training.interventions import INTERVENTIONS
from llada.training.job import StepMetrics, TrainingJob, TrainingReport
from llada.training.length import Length
from llada.training.record import ATTEMPTS, METRICS, read_metrics
from llada.training.schedule import ScheduleConfig
from llada.training.shards import Shard
from pipelines.ledger import Count, Ledger
from pipelines.local_copies import scratch
from pipelines.shards import FileEntry, Role, describe, settle
from pipelines.stopping import Stopped
from pipelines.storage import StorePath, read_all, write_bytes
from pipelines.tokenize import tokenizer_files
from pipelines.workspace import InputArtifact, Progress, Resources, StageOutput, Workspace

Objective = Literal["pretrain", "sft", "autoregressive"]


class TrainedStage(Optimisation, Length):
    """How to train, and how long in the unit of the recipe's author."""

    @model_validator(mode="after")
    def _steps_reach_the_peak(self) -> Self:
        if self.steps is not None:
            self.training(self.steps)
        return self

    def training(self, steps: int) -> TrainingConfig:
        """Return what a training job is told; raises ValueError where so many steps cannot be."""
        fields = {name: getattr(self, name) for name in Optimisation.model_fields}
        return TrainingConfig(**fields, steps=steps)


class PretrainConfig(TrainedStage):
    """The training recipe and the model it trains."""

    model: str = "tiny"
    """A preset of llada.config; its vocabulary and special ids come from the tokenizer."""
    objective: Literal["diffusion", "autoregressive"] = "diffusion"
    """Autoregressive: the baseline, of the same sizes, with causal attention, on the same rows."""

    @model_validator(mode="after")
    def _objective_suits_the_model(self) -> Self:
        causal = PRESETS.get(self.model, {}).get("causal", False)
        if causal and self.objective == "diffusion":
            raise ValueError(
                f"model {self.model!r} sees the left only and cannot restore masks; allowed for "
                "it is objective: autoregressive. For diffusion choose a model without 'arm'"
            )
        return self

    @field_validator("model")
    @classmethod
    def _known_preset(cls, model: str) -> str:
        ModelConfig.preset(model)
        return model

    def architecture(self, **of_the_data: int) -> ModelConfig:
        """Return the model for a tokenizer's ids and a length of rows."""
        causal = self.objective == "autoregressive"
        return ModelConfig.preset(self.model, **of_the_data, causal=causal)


class SftConfig(TrainedStage):
    """The training recipe of supervised fine-tuning (section 2.3, B.1)."""

    random_length_fraction: float = Field(default=0.0, ge=0, le=0)
    """SFT has no random lengths: the answer's own length counts."""
    validate_every: None = None
    """Pairs are held out as problems to be solved, which the kind evaluate does, not as ids."""
    schedule: ScheduleConfig = ScheduleConfig(
        peak=2.5e-5, warmup_steps=50, lower=None, decay_last=0.1, final=2.5e-6
    )


def pretrain(workspace: Workspace, config: PretrainConfig) -> StageOutput:
    """Train from scratch on the slot `tokens`: a mask predictor (Eq. 3), or the ARM baseline."""
    from llada.tokenizer import Tokenizer

    tokens = workspace.input("tokens")
    tokenizer = Tokenizer.load(tokenizer_files(tokens).folder())
    model = config.architecture(
        vocab_size=tokenizer.vocab_size,
        mask_token_id=tokenizer.special.mask,
        eos_token_id=tokenizer.special.eos,
        max_sequence_length=tokens.info["sequence_length"],
    )
    objective: Objective = "pretrain" if config.objective == "diffusion" else "autoregressive"
    return _train(workspace, config, model, tokens, tokens, objective=objective, start_from=None)


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
    """Return a local folder with config.json, weights and tokenizer, its files checked."""
    return artifact.bundle("model").folder()


def _train(
    workspace: Workspace,
    config: TrainedStage,
    model: ModelConfig,
    data: InputArtifact,
    tokenizer: InputArtifact,
    *,
    objective: Objective,
    start_from: str | None,
) -> StageOutput:
    output = workspace.root / f"model-{workspace.attempt}"
    # Beside the checkpoints, here or in the bucket: one may be exported before the end.
    _carry_tokenizer(tokenizer, workspace.root / "checkpoints")
    training = config.training(_steps(config, model, data))
    job = TrainingJob(
        objective=objective,
        model=model,
        init_from=start_from,
        shards=_shards(data, "data"),
        validation_shards=_shards(data, "validation") if training.validate_every else (),
        peak_flops=peak_flops(workspace.resources),
        training=training,
        checkpoint_dir=str(scratch(workspace.root / "checkpoints")),
        output_dir=str(scratch(output)),
        stop_signs=_signs(workspace),
        retention=workspace.resources.checkpoints,
    )
    report = _run(workspace, job)
    history = read_metrics(Path(report.metrics_path), report.steps)
    losses = [line.loss for line in history]
    _carry_tokenizer(tokenizer, scratch(output))
    files = settle(workspace.root, output, "model") + _record(workspace.root, report)
    return StageOutput(
        files=files,
        ledger=_ledger(data, training),
        metrics={
            "loss_first": losses[0],
            "loss_last": sum(losses[-10:]) / len(losses[-10:]),
            "steps": training.steps,
            "parameters": model.parameter_count(),
            "restarts": report.restarts,
            "rollbacks": report.rollbacks,
            "lost_seconds": report.lost_seconds,
            **_held_out(history),
        },
        info={
            "folder": output.name,
            "objective": objective,
            "tokens": training.steps * training.batch_size * model.max_sequence_length,
            "losses": losses,
            "model": model.model_dump(mode="json"),
        },
        schema="published LLaDA layout: config.json, model.safetensors, tokenizer.json",
    )


def _shards(data: InputArtifact, role: Role) -> tuple[Shard, ...]:
    entries = data.entries(role)
    if not entries:
        return ()
    folder = data.bundle(role).folder()
    return tuple(
        Shard(path=str(folder / PurePosixPath(entry.path).name), rows=entry.rows)
        for entry in entries
    )


def peak_flops(resources: Resources) -> float | None:
    """Return what the GPUs of all workers could do; None where nobody said which they are."""
    if resources.gpu is None or not resources.gpus:
        return None
    return accelerator(resources.gpu).peak * resources.gpus


def _held_out(history: Sequence[StepMetrics]) -> dict[str, float]:
    measured = [line.val_loss for line in history if line.val_loss is not None]
    return {"val_loss_last": measured[-1]} if measured else {}


def _record(root: StorePath, report: TrainingReport) -> tuple[FileEntry, ...]:
    """Keep the run's own log beside the weights: every step, start and rollback.

    No part of the artifact's content: its seconds differ from run to run.
    """
    folder = Path(report.metrics_path).parent
    entries = []
    for name in (METRICS, ATTEMPTS, INTERVENTIONS):
        if (folder / name).exists():
            path = root / "aside" / name
            content = (folder / name).read_bytes()
            written = write_bytes(path, content)
            rows = len(content.splitlines())
            entries.append(describe(root, path, written, "aside", shard=name, rows=rows))
    return tuple(entries)


def _steps(config: TrainedStage, model: ModelConfig, data: InputArtifact) -> int:
    steps = config.steps_for(
        batch_size=config.batch_size,
        sequence_length=model.max_sequence_length,
        rows=rows_an_epoch(data),
    )
    assert steps is not None
    return steps


def rows_an_epoch(data: InputArtifact) -> int:
    """Return what an epoch passes over: packed sequences, or dialogues (one turn of each)."""
    dialogues: int | None = data.info.get("dialogues")
    return dialogues or sum(entry.rows for entry in data.entries())


def _run(workspace: Workspace, job: TrainingJob) -> TrainingReport:
    """Train, telling of every step."""
    from llada.training.ray_entry import train
    from pipelines.checkpoint_mirror import mirrored  # torch comes with it

    total = job.training.steps

    held_out: dict[int, float] = {}

    def on_metrics(metrics: StepMetrics) -> None:
        workspace.on_metrics(metrics.step, metrics.numbers())
        if metrics.val_loss is not None:
            held_out[metrics.interventions] = metrics.val_loss
        note = f"loss {metrics.loss:.3f}, {metrics.tokens_per_second:,.0f} tokens/s"
        if metrics.interventions in held_out:
            note += f", held-out {held_out[metrics.interventions]:.3f}"
        if metrics.interventions:
            note += f", rollbacks {metrics.interventions}"
        workspace.on_progress(Progress(metrics.step + 1, total, "steps", note))

    workspace.executor.connect()
    resources = workspace.resources
    with (
        TemporaryDirectory(prefix="llada-train-") as scratch,
        _stopped_as_we_say_it(),
        mirrored(Path(job.checkpoint_dir), workspace.root / "checkpoints", resources.checkpoints),
    ):
        return train(
            job,
            workers=resources.workers,
            cpus_per_worker=resources.cpus_per_worker,
            run_name=f"{workspace.stage}-{workspace.attempt}",
            scratch=Path(scratch),
            max_failures=resources.max_failures,
            on_metrics=on_metrics,
            on_poll=workspace.stop.check,
            stall_seconds=resources.stall_seconds,
            gpus_per_worker=resources.gpus_per_worker,
        )


def _signs(workspace: Workspace) -> tuple[str, ...]:
    sign = workspace.stop.sign
    return (str(sign.asked), str(sign.successor)) if sign else ()


@contextmanager
def _stopped_as_we_say_it() -> Iterator[None]:
    from llada.training.errors import TrainingStopped

    try:
        yield
    except TrainingStopped as stopped:
        raise Stopped(str(stopped)) from stopped


def _carry_tokenizer(artifact: InputArtifact, folder: StorePath) -> None:
    """Put the tokenizer beside the weights: a model without its tokenizer says nothing."""
    role: Literal["model", "aside"] = "model" if artifact.entries("model") else "aside"
    found = [path for path in artifact.paths(role) if path.name.startswith("tokenizer")]
    for path, content in read_all(found).items():
        write_bytes(folder / path.name, content)


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
