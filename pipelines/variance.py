"""Two trainings that differ in their noise, compared: held-out loss by step, noise of the gradient.

Beside the paper's sampling (t drawn for each row, tokens masked one by one) a recipe may spread t
evenly and mask exact counts (Eq. 14). Both models are measured on the same held-out rows under
noise that never changes, and at the weights of one of them the gradient is drawn many times under
every schedule: once on the same rows, where all noise is that of t and masks, once on other rows.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from llada.training.config import NoiseConfig, TrainingConfig
from llada.training.record import METRICS, read_metrics
from llada.training.schedule import ScheduleConfig
from llada.training.shards import Shard
from pipelines import storage
from pipelines.errors import InputError
from pipelines.ledger import Count, Ledger
from pipelines.local_copies import Bundle
from pipelines.shards import ShardFiles, ShardRecord, save_record
from pipelines.units import run_units, stage_output
from pipelines.workspace import InputArtifact, StageOutput, Workspace

_SAME, _OTHER = "same_rows", "other_rows"


class VarianceConfig(BaseModel):
    """How well the noise of the gradient is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    draws: int = Field(default=64, ge=2)
    """Gradients under each schedule; the error of a variance falls with their square root."""
    batch_size: int = Field(default=16, ge=1)
    """Rows of each; with t spread evenly the noise falls faster than with their number."""


class VarianceUnit(BaseModel):
    """One schedule."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard: str


class VarianceWorker:
    """Loads the model once and draws gradients, one schedule at a time."""

    def __init__(
        self,
        root: str,
        attempt: str,
        model: Bundle,
        tokens: tuple[Bundle, Sequence[tuple[str, int]]],
        config: VarianceConfig,
    ) -> None:
        import torch

        from llada.model import MaskPredictor

        torch.set_num_threads(1)
        self._root, self._attempt, self._config = storage.at(root), attempt, config
        bundle, shards = tokens
        folder = bundle.folder()
        self._shards = [Shard(path=str(folder / name), rows=rows) for name, rows in shards]
        self._model = MaskPredictor.from_pretrained(
            model.folder(), dtype=torch.float32, device="cpu"
        )

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Measure one schedule on the same and on other rows, return the record."""
        from llada.training.gradient_noise import SCHEDULES, spread

        name = VarianceUnit.model_validate(unit).shard
        noise = SCHEDULES[name]
        found: dict[str, float] = {}
        for rows in (_SAME, _OTHER):
            measured = spread(self._model, self._batches(noise, same_rows=rows == _SAME))
            found[f"{name}_gradient_noise_{rows}"] = measured.gradient
            found[f"{name}_gradient_error_{rows}"] = measured.gradient_error
            found[f"{name}_loss_spread_{rows}"] = measured.loss
        files = ShardFiles(self._root, name, self._attempt)
        files.write_bytes(json.dumps(found, indent=1).encode(), "report", name=f"{name}.json")
        count = Count(rows=2 * self._config.draws)
        ledger = Ledger(unit="gradients", entered=count, kept=count)
        record = ShardRecord(shard=name, files=files.entries, ledger=ledger, metrics=found)
        return save_record(self._root, record)

    def _batches(self, noise: NoiseConfig, *, same_rows: bool) -> Iterator[Any]:
        """Yield batches; another seed draws other times and masks, and other rows."""
        from llada.training.batch import PretrainData, Vocabulary
        from llada.training.gradient_noise import on_rows

        model = self._model.config
        words = Vocabulary(model.vocab_size, model.mask_token_id, model.eos_token_id)
        indices, fixed = range(self._config.batch_size), None
        for seed in range(self._config.draws):
            drawn_as = TrainingConfig(
                steps=1,
                batch_size=len(indices),
                micro_batch_size=len(indices),
                seed=seed,
                random_length_fraction=0.0,
                noise=noise,
                schedule=ScheduleConfig(warmup_steps=0),
            )
            data = PretrainData(self._shards, model.max_sequence_length, drawn_as, words)
            batch = data.batch(0, indices)
            fixed = fixed or batch
            yield on_rows(batch, fixed, model.mask_token_id) if same_rows else batch


def run(workspace: Workspace, config: VarianceConfig) -> StageOutput:
    """Compare the models of the slots `paper` and `other`, both trained on `tokens`.

    Raises:
        InputError: they differ in more than their weights, or nothing was measured as they learnt.
    """
    from llada.training.gradient_noise import SCHEDULES

    paper, other, tokens = (workspace.input(name) for name in ("paper", "other", "tokens"))
    held_out = _side_by_side(paper, other)
    shards = [(PurePosixPath(each.path).name, each.rows) for each in tokens.entries("data")]
    factory = partial(
        VarianceWorker,
        str(workspace.root),
        workspace.attempt,
        paper.bundle("model"),
        (tokens.bundle("data"), shards),
        config,
    )
    units = [VarianceUnit(shard=name) for name in SCHEDULES]
    records = run_units(workspace, units, factory, unit="schedules")
    noise = {key: value for record in records for key, value in record.metrics.items()}
    files = ShardFiles(workspace.root, "comparison", workspace.attempt)
    files.write_bytes(table(held_out, noise).encode(), "report", name="table.md")
    output = stage_output(records, schema="table.md; one JSON a schedule", unit="gradients")
    _, last_paper, last_other = held_out[-1]
    return StageOutput(
        files=(*output.files, *files.entries),
        ledger=output.ledger,
        metrics={**noise, "paper_val_loss": last_paper, "other_val_loss": last_other},
        info={"held_out": held_out, "noise": noise, "schedules": list(SCHEDULES)},
        schema=output.schema,
    )


def table(held_out: Sequence[tuple[int, float, float]], noise: Mapping[str, float]) -> str:
    """Return both comparisons as Markdown tables."""
    lines = ["| step | paper | other | difference |", "|---|---|---|---|"]
    lines += [f"| {step} | {a:.4f} | {b:.4f} | {b - a:+.4f} |" for step, a, b in held_out]
    lines += [
        "",
        "Held-out loss in nats a token. Below: tr(cov g) / |E g|^2 of one batch +- its standard "
        "error, standard deviation of its loss.",
        "",
        "| schedule | gradient, same rows | other rows | loss, same rows | other rows |",
        "|---|---|---|---|---|",
    ]
    for key in noise:
        if key.endswith(f"_gradient_noise_{_SAME}"):
            name = key.removesuffix(f"_gradient_noise_{_SAME}")
            cells = [
                f"{noise[f'{name}_gradient_noise_{rows}']:.3f} +- "
                f"{noise[f'{name}_gradient_error_{rows}']:.3f}"
                for rows in (_SAME, _OTHER)
            ]
            cells += [f"{noise[f'{name}_loss_spread_{rows}']:.2%}" for rows in (_SAME, _OTHER)]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _side_by_side(paper: InputArtifact, other: InputArtifact) -> list[tuple[int, float, float]]:
    """Return (steps done, held-out loss of `paper`, of `other`) wherever both were measured."""
    for what in ("model", "objective", "tokens"):
        if paper.info.get(what) != other.info.get(what):
            raise InputError(
                f"{paper.name} and {other.name} differ in their {what}: {paper.info.get(what)} and "
                f"{other.info.get(what)}; give both the same recipe but for `noise`"
            )
    curves = [_curve(each) for each in (paper, other)]
    steps = sorted(curves[0].keys() & curves[1].keys())
    if not steps:
        raise InputError(
            f"{paper.name} and {other.name} were measured at no common step; set validate_every "
            "of both to one number, and a validation_share above 0 for their tokens"
        )
    return [(step, curves[0][step], curves[1][step]) for step in steps]


def _curve(model: InputArtifact) -> dict[int, float]:
    found = [path for path in model.paths("aside") if path.name == METRICS]
    if not found:
        raise InputError(f"{model.name} keeps no record of its steps: train it again")
    with storage.local(found[0]) as copy:
        lines = read_metrics(Path(copy), len(model.info["losses"]))
    return {line.step + 1: line.val_loss for line in lines if line.val_loss is not None}
