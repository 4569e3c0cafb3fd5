"""Lay measured models over the compute they took: one table, one figure, one law an objective.

Compute is 6 N D as in the paper's Figure 3: N weights without embedding and head, D tokens. The
likelihood of a mask predictor is a bound (Eq. 6), that of the baseline is exact, so a gap between
the two curves is at most what it looks like.
"""

import json
from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from llada.config import ModelConfig
from llada.training.flops import flops_per_token
from pipelines.errors import InputError
from pipelines.ledger import Count, Ledger
from pipelines.scaling_figure import figure
from pipelines.shards import ShardFiles
from pipelines.workspace import InputArtifact, Progress, StageOutput, Workspace

Measure = Literal["bits_per_byte", "nats_per_token"]
NAMES: Mapping[str, str] = {"pretrain": "diffusion", "autoregressive": "autoregressive"}
"""Objective of a training -> what the table calls it."""
_FEWEST = 3  # two points fit any line


class ScalingConfig(BaseModel):
    """What is compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    measure: Measure = "bits_per_byte"
    """Bits a byte do not hang on the tokenizer; nats a token are what the loss counts in."""


class Run(NamedTuple):
    """One trained and measured model."""

    objective: str
    model: str
    weights: int
    """Without embedding and head: the N of 6 N D."""
    tokens: int
    compute: float
    value: float


class Law(NamedTuple):
    """value = scale * compute ** -exponent, fitted to the logarithms of `runs` runs."""

    exponent: float
    scale: float
    runs: int


def run(workspace: Workspace, config: ScalingConfig) -> StageOutput:
    """Compare all reports that the stage is given.

    Raises:
        InputError: one of them measured no likelihood, or was made before reports said what for.
    """
    workspace.on_progress(Progress(0, 1, "comparisons"))
    runs = sorted(_run(each, config.measure) for each in workspace.inputs.values())
    laws = {name: law for name in NAMES.values() if (law := fitted(runs, name)) is not None}
    report = {
        "measure": config.measure,
        "runs": [each._asdict() for each in runs],
        "laws": {name: law._asdict() for name, law in laws.items()},
    }
    files = ShardFiles(workspace.root, "00000", workspace.attempt)
    for name, text in {
        "report.json": json.dumps(report, indent=1) + "\n",
        "table.md": table(runs, laws, config.measure),
        "figure.svg": figure(
            [(each.objective, each.weights, each.compute, each.value) for each in runs],
            label=config.measure.replace("_", " "),
        ),
    }.items():
        files.write_bytes(text.encode(), "report", name=name)
    count = Count(rows=len(runs))
    workspace.on_progress(Progress(1, 1, "comparisons"))
    return StageOutput(
        files=files.entries,
        ledger=Ledger(unit="runs", entered=count, kept=count),
        metrics=_metrics(runs, laws, config.measure),
        info=report,
        schema="report.json, table.md, figure.svg",
    )


def fitted(runs: Sequence[Run], objective: str) -> Law | None:
    """Return the law of the best runs: those that no run of less compute beats.

    A model trained too short or too long for its size says nothing of what compute can buy. None
    where fewer than three remain.
    """
    best: list[Run] = []
    for each in sorted((r for r in runs if r.objective == objective), key=lambda r: r.compute):
        if not best or each.value < best[-1].value:
            best.append(each)
    if len(best) < _FEWEST:
        return None
    xs, ys = [log(each.compute) for each in best], [log(each.value) for each in best]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    return Law(exponent=-slope, scale=exp(mean_y - slope * mean_x), runs=len(best))


def table(runs: Sequence[Run], laws: Mapping[str, Law], measure: Measure) -> str:
    """Return the runs as a Markdown table, by objective and compute, and the laws below it."""
    lines = [
        f"| objective | N | D | 6 N D | {measure.replace('_', ' ')} |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.objective} | {each.weights:,} | {each.tokens:,} | {each.compute:.3g} | "
        f"{each.value:.4f} |"
        for each in sorted(runs, key=lambda each: (each.objective, each.compute))
    ]
    lines += [
        f"\n{name}: {law.scale:.4g} * C^-{law.exponent:.4f} over the {law.runs} best runs"
        for name, law in laws.items()
    ]
    return "\n".join(lines) + "\n"


def _run(report: InputArtifact, measure: Measure) -> Run:
    trained: Mapping[str, Any] = report.info.get("trained") or {}
    measured: Mapping[str, float] = report.info.get("measured") or {}
    name = f"{'nll' if trained.get('objective') == 'autoregressive' else 'bound'}_{measure}"
    if trained.get("tokens") is None or trained.get("objective") not in NAMES:
        raise InputError(
            f"{report.name}: the report does not say how its model was trained; models of the kind "
            "pretrain are compared: train and evaluate it again"
        )
    if name not in measured:
        raise InputError(
            f"{report.name}: the report has no {name}; give its evaluate stage the slot `tokens`, "
            "with held-out text in it"
        )
    model = ModelConfig.model_validate(trained["model"])
    return Run(
        objective=NAMES[trained["objective"]],
        model=report.name,
        weights=model.non_embedding_parameter_count(),
        tokens=trained["tokens"],
        compute=flops_per_token(model) * trained["tokens"],
        value=measured[name],
    )


def _metrics(runs: Sequence[Run], laws: Mapping[str, Law], measure: Measure) -> dict[str, float]:
    metrics = {"runs": float(len(runs))}
    for name in NAMES.values():
        own = [each.value for each in runs if each.objective == name]
        if own:
            metrics[f"{name}_best_{measure}"] = min(own)
        if name in laws:
            metrics[f"{name}_exponent"] = laws[name].exponent
    return metrics
