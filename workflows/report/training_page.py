"""The report of a trained model: its curves by step, alone or laid over those of another."""

from collections.abc import Callable, Iterable
from html import escape
from statistics import median

from llada.training.job import StepMetrics
from workflows.report.curves import Curve, Mark, Point, figure
from workflows.report.sheet import sheet, table
from workflows.report.training_facts import TrainingFacts

Value = Callable[[StepMetrics], float | None]


def training_page(facts: TrainingFacts, against: TrainingFacts | None = None) -> str:
    """Return the report of a model; `against` is another whose curves are drawn beside."""
    manifest = facts.artifact.manifest
    title = f"{manifest.recipe}: how {manifest.name} learnt"
    beside = f" against {against.artifact.label}" if against else ""
    runs = [facts, against] if against else [facts]
    body = "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            f'<p class="quiet mono">{escape(facts.artifact.label)}{escape(beside)} · run '
            f"{escape(manifest.run_id)}</p>",
            "<h2>Figures</h2>",
            _figures(runs),
            "<h2>Curves</h2>",
            f'<div class="curves">{"".join(_curves(facts, against))}</div>',
            *_happened(facts),
        ]
    )
    return sheet(title, body)


def _figures(runs: list[TrainingFacts]) -> str:
    heads = ("", *(run.artifact.label for run in runs))
    rows: list[tuple[str, list[str]]] = [
        (name, [told(run) for run in runs]) for name, told in _FIGURES
    ]
    return table(
        heads,
        ((escape(name), *map(escape, told)) for name, told in rows if any(told)),
        label="Figures of the training",
    )


def _parameters(run: TrainingFacts) -> str:
    found = run.artifact.manifest.metrics.get("parameters")
    return "" if found is None else f"{found:,.0f}"


def _last_held_out(run: TrainingFacts) -> str:
    values = [line.val_loss for line in run.steps if line.val_loss is not None]
    return f"{values[-1]:.4f} nats a token" if values else ""


def _share_of_time(value: Value) -> Callable[[TrainingFacts], str]:
    def told(run: TrainingFacts) -> str:
        spent = sum(line.seconds + line.checkpoint_seconds for line in run.steps)
        return f"{sum(value(line) or 0.0 for line in run.steps) / spent:.2%} of the time"

    return told


def _median_of(value: Value, form: str) -> Callable[[TrainingFacts], str]:
    def told(run: TrainingFacts) -> str:
        values = [found for line in run.steps if (found := value(line)) is not None]
        return form.format(median(values)) if values else ""

    return told


def _flops(run: TrainingFacts) -> str:
    done = sum((line.flops_per_second or 0.0) * line.seconds for line in run.steps)
    return f"{done:.3g}" if done else ""


_FIGURES: tuple[tuple[str, Callable[[TrainingFacts], str]], ...] = (
    ("objective", lambda run: str(run.artifact.manifest.info.get("objective", ""))),
    ("parameters", _parameters),
    ("steps", lambda run: f"{len(run.steps):,}"),
    ("tokens", lambda run: f"{sum(line.tokens for line in run.steps):,}"),
    ("FLOPs, forward and backward", _flops),
    ("last loss", lambda run: f"{run.steps[-1].loss:.4f}"),
    ("last held-out loss", _last_held_out),
    ("tokens a second, median", _median_of(lambda line: line.tokens_per_second, "{:,.0f}")),
    ("model FLOP/s utilisation, median", _median_of(lambda line: line.mfu, "{:.1%}")),
    ("seconds of steps", lambda run: f"{sum(line.seconds for line in run.steps):,.1f}"),
    ("waiting for rows", _share_of_time(lambda line: line.data_seconds)),
    ("held up by checkpoints", _share_of_time(lambda line: line.checkpoint_seconds)),
    ("restarts of workers", lambda run: str(len(run.restarts))),
    ("rollbacks", lambda run: str(len(run.interventions))),
    ("seconds of lost work", lambda run: f"{run.lost_seconds:,.1f}"),
)


def _curves(facts: TrainingFacts, against: TrainingFacts | None) -> Iterable[str]:
    marks = _marks(facts)
    for title, value, note, logarithmic in _CURVES:
        curves = _pair(facts, against, value)
        if title == "loss" and facts.lost:
            curves.append(Curve("thrown away", _points(facts.lost, value), "lost"))
        yield figure(title, curves, marks, note=note, logarithmic=logarithmic)
    parts = max((len(line.loss_by_t) for line in facts.steps), default=0)
    yield figure(
        "cross-entropy by t",
        [
            Curve(
                f"t {part / parts:.2f} to {(part + 1) / parts:.2f}",
                _points(facts.steps, _by_t(part)),
                f"part-{part}",
            )
            for part in range(parts)
        ],
        marks,
        note="of masked tokens, by how much of their row was masked",
    )


_CURVES: tuple[tuple[str, Value, str, bool], ...] = (
    ("loss", lambda line: line.loss, "nats a token", False),
    ("held-out loss", lambda line: line.val_loss, "nats a token, fixed noise", False),
    ("gradient norm", lambda line: line.grad_norm, "before clipping", True),
    ("learning rate", lambda line: line.learning_rate, "", False),
    ("tokens a second", lambda line: line.tokens_per_second, "all workers", False),
    ("FLOP/s", lambda line: line.flops_per_second, "useful, all workers", False),
)


def _by_t(part: int) -> Value:
    return lambda line: line.loss_by_t[part] if part < len(line.loss_by_t) else None


def _pair(facts: TrainingFacts, against: TrainingFacts | None, value: Value) -> list[Curve]:
    curves = [Curve(facts.artifact.manifest.name, _points(facts.steps, value))]
    if against:
        name = against.artifact.manifest.name
        if name == curves[0].name:
            name = against.artifact.label
        curves.append(Curve(name, _points(against.steps, value), "other"))
    return curves


def _points(lines: Iterable[StepMetrics], value: Value) -> list[Point]:
    return [Point(line.step, found) for line in lines if (found := value(line)) is not None]


def _marks(facts: TrainingFacts) -> list[Mark]:
    restarts = [
        Mark(each.first_step, f"restarted at step {each.first_step}", "restart")
        for each in facts.restarts
    ]
    return restarts + [
        Mark(each.back_to, each.sentence(), "rollback") for each in facts.interventions
    ]


def _happened(facts: TrainingFacts) -> Iterable[str]:
    if not facts.restarts and not facts.interventions:
        return
    yield "<h2>What happened</h2>"
    yield (
        '<p class="quiet">In the curves a restart is a dashed line and a rollback a solid one, at '
        "the step the run went on from.</p>"
    )
    rows = [
        (
            f"restart at step {each.first_step:,}",
            f"{each.world_size} workers, {_passed(each.passed_over)}",
        )
        for each in facts.restarts
    ]
    rows += [
        (f"rollback to step {each.back_to:,}", each.sentence()) for each in facts.interventions
    ]
    yield table(
        ("", "found and done"),
        ((escape(name), escape(told)) for name, told in rows),
        label="Restarts and rollbacks",
        look="reads-second wraps",
    )


def _passed(names: list[str]) -> str:
    return f"damaged checkpoints passed over: {', '.join(names)}" if names else "no damage found"
