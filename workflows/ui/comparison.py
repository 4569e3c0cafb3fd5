"""Two runs side by side: the union of their graphs, and what differs stage by stage."""

from collections.abc import Iterator, Mapping
from typing import Any

from workflows.artifact import load
from workflows.ui.index import Index
from workflows.ui.journals import StageStory
from workflows.ui.stage_view import short_parts
from workflows.ui.values import Change, Comparison, StageChange
from workflows.ui.view import artifact_path, run_view, story_of

_MISSING = object()


def compare(index: Index, a: str, b: str) -> Comparison:
    """Return what differs between two runs, `a` the older side; RefError for unknown runs."""
    left, right = run_view(index, a), run_view(index, b)
    old, new = story_of(index, a).stages, story_of(index, b).stages
    names = [node["name"] for node in right["nodes"]]
    removed = [node for node in left["nodes"] if node["name"] not in new]
    edges = {(edge["source"], edge["target"], edge["slot"]): edge for edge in left["edges"]}
    edges |= {(edge["source"], edge["target"], edge["slot"]): edge for edge in right["edges"]}
    names += [node["name"] for node in removed]
    return {
        "a": left["run"],
        "b": right["run"],
        "nodes": [*right["nodes"], *removed],
        "edges": list(edges.values()),
        "changes": {name: _change(index, name, old.get(name), new.get(name)) for name in names},
    }


def _change(index: Index, name: str, old: StageStory | None, new: StageStory | None) -> StageChange:
    change: StageChange = {
        "name": name,
        "change": "added" if old is None else "removed",
        "config": [],
        "code": [],
        "inputs": [],
        "ledger": [],
        "metrics": [],
    }
    if old is None or new is None:
        return change
    change["config"] = list(differences(old.begun.get("config", {}), new.begun.get("config", {})))
    change["inputs"] = list(differences(_inputs(old), _inputs(new)))
    change["ledger"] = list(differences(_ledger(old), _ledger(new)))
    change["metrics"] = list(
        differences(old.finished.get("metrics", {}), new.finished.get("metrics", {}))
    )
    before, after = artifact_path(index, old), artifact_path(index, new)
    if before != after and before and after:
        change["code"] = list(differences(_code(index, before), _code(index, after)))
    if change["config"] or change["code"]:
        change["change"] = "changed"
    elif change["inputs"]:
        change["change"] = "follows"
    else:
        content = change["ledger"] or change["metrics"] or _digest(old) != _digest(new)
        change["change"] = "changed" if content else "same"
    return change


def differences(old: Mapping[str, Any], new: Mapping[str, Any], at: str = "") -> Iterator[Change]:
    """Yield the values that differ, nested fields by their dotted name."""
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, _MISSING), new.get(name, _MISSING)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{at}{name}.")
            continue
        yield {
            "what": f"{at}{name}",
            "old": None if before is _MISSING else before,
            "new": None if after is _MISSING else after,
        }


def _inputs(story: StageStory) -> dict[str, str]:
    return {
        slot: f"{ref.get('name')}@{str(ref.get('digest'))[:12]}"
        for slot, ref in story.begun.get("inputs", {}).items()
    }


def _ledger(story: StageStory) -> dict[str, Any]:
    """Return rows only: bytes follow them, and twice the lines tell half as much."""
    ledger = story.finished.get("ledger")
    if not ledger:
        return {}
    dropped = {rule: count["rows"] for rule, count in ledger.get("dropped", {}).items()}
    kept, entered = ledger["kept"]["rows"], ledger["entered"]["rows"]
    edited = {edit: change["rows"] for edit, change in ledger.get("edited", {}).items()}
    return {"entered": entered, "kept": kept, "dropped": dropped, "edited": edited}


def _digest(story: StageStory) -> str | None:
    output = story.finished.get("output") or {}
    digest = output.get("digest")
    return str(digest) if digest else None


def _code(index: Index, path: str) -> Mapping[str, str]:
    artifact = load(index.store / path)
    return short_parts(artifact.manifest.code_parts) if artifact else {}
