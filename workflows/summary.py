"""The page of text at the end of a run: funnel, tokens, loss curve, samples, where things are."""

import itertools
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.ledger import Change, Count
from pipelines.storage import StorePath, relative
from workflows.artifact import Artifact, Manifest
from workflows.experiments import experiments

WIDTH = 78
_RULES_SHOWN = 5


def page(
    artifacts: Mapping[str, Artifact], store: StorePath, *, recipe: str, run_id: str, tracking: str
) -> str:
    """Return the page for the artifacts of one run, by stage name in order."""
    manifests = [artifact.manifest for artifact in artifacts.values()]
    blocks = [
        f"{recipe}: run {run_id}",
        funnel(manifests),
        *_judges(manifests),
        *_tokens(manifests),
        *_curves(manifests),
        *_figures(manifests),
        *experiments(manifests),
        *_samples(manifests),
        _places(artifacts, store, tracking),
        _next(artifacts, store),
    ]
    return "\n\n".join(blocks)


def funnel(manifests: Iterable[Manifest]) -> str:
    """Return documents and bytes through the stages, what rules dropped and what edits changed."""
    lines = [f"{'FUNNEL':<16}{'documents in':>14}{'dropped':>10}{'kept':>10}{'kept MB':>10}"]
    for manifest in manifests:
        ledger = manifest.ledger
        if ledger.unit != "documents":
            continue
        lines.append(
            f"{manifest.name:<16}{ledger.entered.rows:>14,}{ledger.dropped_total.rows:>10,}"
            f"{ledger.kept.rows:>10,}{ledger.kept.bytes / 1e6:>10.2f}"
        )
        if ledger.added.rows:
            lines.append(f"    {'copies added':<34}{ledger.added.rows:>8,}")
        ranked = sorted(ledger.dropped.items(), key=lambda item: -item[1].rows)
        for rule, count in ranked[:_RULES_SHOWN]:
            lines.append(_dropped(rule, count, ledger.entered.rows))
        if len(ranked) > _RULES_SHOWN:
            rest = sum((count for _, count in ranked[_RULES_SHOWN:]), start=Count())
            label = f"{len(ranked) - _RULES_SHOWN} more rules"
            lines.append(_dropped(label, rest, ledger.entered.rows))
        lines += [
            f"    {f'edited: {edit}':<34}{change.rows:>8,}  {_bytes_changed(change)}"
            for edit, change in ledger.edited.items()
        ]
    return "\n".join(lines)


def _dropped(rule: str, count: Count, entered: int) -> str:
    """Return what a rule dropped: documents, their share of those that entered, MB of text."""
    share = count.rows / entered
    size = f"{count.bytes / 1e6:>8.2f} MB"
    return f"    {rule:<34}{count.rows:>8,}  {share:>6.1%}{size}  {_bar(share)}".rstrip()


def _bytes_changed(change: Change) -> str:
    return f"-{change.removed:,} +{change.added:,} bytes"


def _bar(share: float, width: int = 20) -> str:
    return "#" * max(1, round(share * width)) if share else ""


def _judges(manifests: Iterable[Manifest]) -> Iterable[str]:
    for manifest in manifests:
        m = manifest.metrics
        if "classifier_auc" in m:
            yield (
                f"JUDGE           {manifest.name}: {m['judged']:.0f} documents scored, mean "
                f"{m['score_mean']:.2f} of 5; on held-out ones the classifier that learned from "
                f"them agrees with AUC {m['classifier_auc']:.2f} (0.5 is chance)"
            )


def _tokens(manifests: Iterable[Manifest]) -> Iterable[str]:
    for manifest in manifests:
        if manifest.makes == "tokens":
            m = manifest.metrics
            yield (
                f"TOKENS          {m['tokens']:,.0f} in {m['sequences']:,.0f} sequences of "
                f"{manifest.info['sequence_length']}, {m['validation_tokens']:,.0f} held out, "
                f"vocabulary {manifest.info['vocab_size']:,}"
            )


def _curves(manifests: Iterable[Manifest]) -> Iterable[str]:
    for manifest in manifests:
        losses = manifest.info.get("losses")
        if losses:
            title = (
                f"LOSS            {manifest.name}: {len(losses)} steps, "
                f"{manifest.metrics['parameters'] / 1e6:.2f} M parameters"
            )
            yield f"{title}\n{plot(losses)}"


def plot(values: Sequence[float], *, width: int = 64, height: int = 10) -> str:
    """Return a terminal plot of a series, averaged into at most `width` columns."""
    columns = min(width, len(values))
    edges = [round(i * len(values) / columns) for i in range(columns + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges) if b > a]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    level = [round((value - low) / span * (height - 1)) for value in means]
    rows = []
    for line in range(height - 1, -1, -1):
        label = low + span * line / (height - 1)
        marks = "".join("*" if at == line else " " for at in level)
        rows.append(f"{label:>8.3f} |{marks}".rstrip())
    rows.append(f"{'':>8} +{'-' * len(means)}")
    rows.append(f"{'step':>8}  1{len(values):>{max(len(means) - 1, 1)}}")
    return "\n".join(rows)


def _figures(manifests: Iterable[Manifest]) -> Iterable[str]:
    for manifest in manifests:
        m = manifest.metrics
        if "bound_nats_per_token" in m:
            yield (
                f"LIKELIHOOD      {manifest.name}: {m['bound_nats_per_token']:.3f} +- "
                f"{m['bound_stderr']:.3f} nats a token at most (Eq. 6) over "
                f"{m['sequences']:.0f} held-out sequences"
            )
        if "nll_nats_per_token" in m:
            yield (
                f"LIKELIHOOD      {manifest.name}: {m['nll_nats_per_token']:.3f} nats a token "
                f"(autoregressive, exact) over {m['sequences']:.0f} held-out sequences"
            )
        if "exact_match" in m:
            yield (
                f"EXACT MATCH     {manifest.name}: {m['exact_match']:.1%} of "
                f"{m['problems']:.0f} held-out problems"
            )


def _samples(manifests: Iterable[Manifest]) -> Iterable[str]:
    for manifest in manifests:
        for number, sample in enumerate(manifest.info.get("samples", [])[:3], start=1):
            yield f"SAMPLE {number}        {_quote(sample['prompt'])} -> {_quote(sample['text'])}"
        for problem in manifest.info.get("problems", [])[:1]:
            mark = "right" if problem["right"] else f"wrong, it is {problem['answer']}"
            asked, said = _quote(problem["prompt"]), _quote(problem["text"])
            yield f"PROBLEM         {asked} -> {said} ({mark})"


def _quote(text: str, most: int = 300) -> str:
    """Return text on one line with nothing in it that a terminal would obey."""
    plain = "".join(c if c.isprintable() else " " for c in text[:most])
    return f"“{' '.join(plain.split())}{'…' if len(text) > most else ''}”"


def _places(artifacts: Mapping[str, Artifact], store: StorePath, tracking: str) -> str:
    lines = [f"WHERE           {store}"]
    lines += [  # the names of a sweep are longer than the column
        f"    {name:<13} {relative(artifact.folder, store)}" for name, artifact in artifacts.items()
    ]
    lines.append(f"    {'MLflow':<14}{tracking}")
    return "\n".join(lines)


def _next(artifacts: Mapping[str, Artifact], store: StorePath) -> str:
    here = Path.cwd() / "artifacts"
    at = "" if store == here else f" --store {shlex.quote(str(store))}"
    models = [name for name, a in artifacts.items() if a.manifest.makes == "model"]
    commands: list[str] = []
    if models:
        commands.append(f'llada generate --model {models[-1]} --prompt "The function returns"{at}')
    commands.append(f"llada lineage {(models or list(artifacts))[-1]}{at}")
    dropped = _a_dropped_document(artifacts)
    if dropped:
        commands.append(f"llada explain {dropped}{at}")
    return "\n".join(["NEXT", *(f"    {command}" for command in commands)])


def _a_dropped_document(artifacts: Mapping[str, Artifact]) -> str | None:
    from pipelines.shards import read_table

    for artifact in artifacts.values():
        if artifact.manifest.kind != "filter":
            continue
        for entry in artifact.manifest.files:
            if entry.role == "rejects" and entry.rows:
                table = read_table(artifact.folder / entry.path, ["doc_id"])
                return str(table["doc_id"][0].as_py())
    return None


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as aligned text columns with a heading."""
    cells = [[str(row.get(name, "")) for name in columns] for row in rows]
    widths = [
        max(len(name), *(len(line[i]) for line in cells)) if cells else len(name)
        for i, name in enumerate(columns)
    ]
    lines = [[name.upper() for name in columns], *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def describe(artifact: Artifact) -> str:
    """Return what there is to know of one artifact."""
    m = artifact.manifest
    size = sum(entry.bytes for entry in m.files)
    lines = [
        f"{m.name} ({m.kind})",
        f"  folder   {artifact.folder}",
        f"  key      {m.key}",
        f"  digest   {m.digest}",
        f"  built    {m.created} in {m.seconds} s by run {m.run_id} of recipe {m.recipe}",
        f"  commit   {m.commit or 'unknown'}{' with uncommitted changes' if m.dirty_diff else ''}",
        f"  code     {m.code_hash[:16]} over {len(m.code_parts)} functions ({m.code_policy})",
        f"  files    {len(m.files)} of {size / 1e6:,.2f} MB",
    ]
    lines += [f"  input    {slot}: {r.name}@{r.digest[:12]}" for slot, r in m.inputs.items()]
    lines += [f"  config   {key}: {value}" for key, value in m.config.items()]
    ledger = m.ledger
    lines.append(f"  ledger   {ledger.entered.rows:,} {ledger.unit} in, {ledger.kept.rows:,} kept")
    if m.ledger.added.rows:
        lines.append(f"           {m.ledger.added.rows:,} further copies among the kept")
    lines += [f"           {rule}: {c.rows:,} dropped" for rule, c in ledger.dropped.items()]
    lines += [
        f"           {edit}: {change.rows:,} edited, {_bytes_changed(change)}"
        for edit, change in ledger.edited.items()
    ]
    lines += [f"  metric   {name}: {value:,.4g}" for name, value in m.metrics.items()]
    return "\n".join(lines)
