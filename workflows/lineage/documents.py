"""The way of one document as text and as JSON: kept, packed and learned, or dropped."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.storage import StorePath
from workflows.lineage.graph import read_graph
from workflows.lineage.lookup import Hit
from workflows.lineage.plain import plain
from workflows.lineage.trace import Chain, Fate, Step, Trace, trace

_TEXT_SHOWN = 240
_ROWS_SHOWN = 4
_VERDICT = ("rule", "feature", "value", "limit")

_SAID: Mapping[Fate, str] = {
    "kept": "kept",
    "dropped": "DROPPED",
    "packed": "packed",
    "held out": "held out",
    "answered": "answered",
}


def way_of(doc_id: str, store: StorePath) -> list[Step]:
    """Return what each stage that handles documents did with one, oldest artifact first.

    Raises:
        RefError: no artifact of the store has met this document.
    """
    return [s for s in trace(read_graph(store), doc_id).steps if s.node.makes == "documents"]


def explain(steps: Sequence[Step]) -> str:
    """Return the way of one document as text: kept by, dropped by which rule, value and limit."""
    lines = list(_heading(steps))
    for step in steps:
        where = f"{step.node.name} ({step.node.kind}) @{step.node.digest[:8]}"
        lines.append(f"{_SAID[step.fate]:<8} {where}{_by_rule(step)}")
        lines += [f"         {line}" for line in _besides(step)]
    return "\n".join([*lines, *_text(steps)])


def _heading(steps: Sequence[Step]) -> Iterator[str]:
    yield f"document {steps[0].hits[0].doc_id}"
    source = next((step.row["source"] for step in steps if step.row.get("source")), None)
    if source is not None:
        yield f"source   {plain(str(source))}"


def _text(steps: Sequence[Step]) -> Iterator[str]:
    text = next((str(step.row["text"]) for step in steps if step.row.get("text")), "")
    if text:
        more = "..." if len(text) > _TEXT_SHOWN else ""
        yield f"text     {plain(text[:_TEXT_SHOWN])}{more}"


def _by_rule(step: Step) -> str:
    if step.fate != "dropped":
        return ""
    row = step.row
    if row["value"] is None:
        return f" by rule {row['rule']}"
    return (
        f" by rule {row['rule']}: {row['feature']} = {_number(row['value'])}, "
        f"limit {_number(row['limit'])}"
    )


def _error(step: Step) -> str:
    """Return why a record is no document, or a pass failed on one; '' where a rule dropped it."""
    if step.fate != "dropped":
        return ""
    if step.row.get("error"):
        return str(step.row["error"])
    try:
        told = json.loads(step.row.get("metadata") or "{}")
    except ValueError:
        return ""
    error = told.get("error") if isinstance(told, dict) and step.node.kind == "extract" else None
    return f"at {told.get('position')}: {error}" if error else ""


def _besides(step: Step) -> Iterator[str]:
    error = _error(step)
    if error:
        yield plain(error)
    failed = step.row.get("failed_rules") if step.fate == "dropped" else None
    if failed and len(failed) > 1:
        yield f"it also fails {', '.join(_with_values(step.row))}"
    if step.fate == "dropped" and step.row.get("duplicate_of"):
        yield f"it is a copy of {step.row['duplicate_of']}, which was kept"
    if step.fate == "dropped" and step.row.get("benchmark"):
        row = step.row
        place = f"item {row['benchmark_item']}, field {row['benchmark_field']}"
        yield f"it holds {row['benchmark']}, {plain(place)}: {plain(str(row['matched']))[:80]}"
    if step.node.kind == "clean" and step.row.get("edits"):
        done = (f"{edit['edit']}.{edit['kind']} x {edit['count']}" for edit in step.row["edits"])
        yield f"edited so far: {', '.join(done)}"
    if step.fate == "answered":
        right = "right" if step.row.get("right") else "wrong"
        yield f"the model's answer was {right}: {plain(str(step.row.get('text')))[:80]}"


def _with_values(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield each further rule that a document fails, with value and limit where they were kept."""
    names = row["failed_rules"]
    values = row.get("failed_values") or [None] * len(names)
    limits = row.get("failed_limits") or [None] * len(names)
    for name, value, limit in list(zip(names, values, limits, strict=True))[1:]:
        known = value is not None and limit is not None
        yield f"{name} = {_number(value)} (limit {_number(limit)})" if known else str(name)


def trace_text(found: Trace, *, every: bool) -> str:
    """Return a document's way with the file and row at each stage, the newest chain or all."""
    lines = list(_heading(found.steps))
    shown = found.chains if every else found.chains[:1]
    for chain in shown:
        lines += ["", *_chain(chain)]
    left = len(found.chains) - len(shown)
    if left:
        lines += ["", f"{left} older chain{'s' if left > 1 else ''} of artifacts met it: --all"]
    lines += [f"left out: {why}" for why in found.damaged]
    return "\n".join([*lines, *_text(found.steps)])


def _chain(chain: Chain) -> Iterator[str]:
    yield f"run {chain.run_id} of recipe {chain.recipe}"
    width = max(len(step.node.name) for step in chain.steps)
    for step in chain.steps:
        yield f"  {step.node.name:<{width}}  {_SAID[step.fate]:<8}{_by_rule(step)}".rstrip()
        for line in (*_besides(step), *_places(step)):
            yield f"  {'':<{width}}  {line}"
    yield from (f"  {line}" for line in _end(chain))


def _places(step: Step) -> Iterator[str]:
    folder = f"{step.node.folder.parent.name}/{step.node.folder.name}"
    for hit in step.hits[:_ROWS_SHOWN]:
        at = f" from position {hit.offset} over {hit.tokens}" if hit.offset is not None else ""
        yield f"{folder}/{hit.entry.path} row {hit.row}{at}"
    if len(step.hits) > _ROWS_SHOWN:
        yield f"... and {len(step.hits) - _ROWS_SHOWN} more rows"


def _end(chain: Chain) -> Iterator[str]:
    for model in chain.models:
        through = ", ".join(model.through)
        yield (
            f"LEARNED  by {model.node.name} ({model.node.kind}) @{model.node.digest[:12]}, "
            f"through {through}"
        )
    if chain.models or chain.dropped:
        return
    fates = {step.fate for step in chain.steps}
    if "packed" in fates:
        yield "no model of this store was trained on it yet"
    elif "held out" in fates:
        yield "held out: no model trains on it"
    else:
        yield "it went no further in this chain"


def explain_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return the rows of `llada explain --json`."""
    return [
        {"stage": s.node.name, "artifact": s.node.folder.name, "kept": s.fate == "kept"}
        | ({k: s.row.get(k) for k in _VERDICT} if s.fate == "dropped" else {})
        | ({"error": error} if (error := _error(s)) else {})
        for s in steps
    ]


def trace_json(found: Trace, *, every: bool) -> dict[str, Any]:
    """Return what `llada trace --json` prints."""
    shown = found.chains if every else found.chains[:1]
    return {
        "doc_id": found.doc_id,
        "chains": [
            {
                "run": chain.run_id,
                "recipe": chain.recipe,
                "steps": [_step_json(step) for step in chain.steps],
                "models": [
                    {"name": m.node.name, "digest": m.node.digest, "through": list(m.through)}
                    for m in chain.models
                ],
            }
            for chain in shown
        ],
        "older_chains": len(found.chains) - len(shown),
        "left_out": list(found.damaged),
    }


def _step_json(step: Step) -> dict[str, Any]:
    row = step.row if step.fate == "dropped" else {}
    more = (
        "failed_rules", "failed_values", "failed_limits", "duplicate_of", "benchmark",
        "benchmark_item", "benchmark_field",
    )  # fmt: skip
    return {
        "stage": step.node.name,
        "kind": step.node.kind,
        "digest": step.node.digest,
        "artifact": step.node.folder.name,
        "fate": step.fate,
        "places": [_place(hit) for hit in step.hits],
        **{key: row.get(key) for key in _VERDICT if row},
        **{key: row[key] for key in more if row.get(key)},
    }


def _place(hit: Hit) -> dict[str, Any]:
    place: dict[str, Any] = {"file": hit.entry.path, "row": hit.row}
    if hit.offset is not None:
        place |= {"offset": hit.offset, "tokens": hit.tokens}
    return place


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float | int) else "none"
