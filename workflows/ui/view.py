"""A run as a graph: nodes with their states, edges with what flowed along them."""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePath
from typing import Any

from workflows.errors import RefError
from workflows.journal import Journal, runs_folder
from workflows.ui.index import Index
from workflows.ui.journals import RunStory, StageStory, row_of, tell
from workflows.ui.values import Edge, Found, Node, RunPage, RunRow, RunView

_FOUND_SHOWN = 20


def story_of(index: Index, run_id: str) -> RunStory:
    """Return what happened in a run.

    Raises:
        RefError: the store has no such run; names the newest.
    """
    story = None
    if run_id in index.runs:  # a name from outside never becomes a path unless the store has it
        story = tell(Journal(runs_folder(index.store) / run_id).milestones())
    if story is None:
        newest = ", ".join(list(index.runs)[:3]) or "none: run a recipe first"
        raise RefError(f"no run '{run_id}' in {index.store}; the newest are {newest}.")
    return story


def run_view(index: Index, run_id: str) -> RunView:
    """Return a run as a graph; RefError where there is no such run."""
    story = story_of(index, run_id)
    edges = list(_edges(index, story))
    order = _in_order(list(story.stages), edges)
    nodes = [node_of(index, story.stages[name]) for name in order]
    row = row_of(run_id, story)
    _fill(edges, {node["name"]: node for node in nodes})
    dirty = story.started.data.get("dirty_diff") is not None
    return {"run": row, "dirty": dirty, "nodes": nodes, "edges": edges}


def run_page(index: Index, query: str = "", offset: int = 0, limit: int = 50) -> RunPage:
    """Return some lines of the run list, newest first, of those runs that match."""
    found = list(_matching_runs(index, query))
    return {"total": len(found), "offset": offset, "rows": found[offset : offset + limit]}


def search(index: Index, query: str) -> Found:
    """Return the runs and artifacts that a few words name."""
    runs = list(_matching_runs(index, query))
    words = query.lower().split()
    artifacts = [
        row
        for row in reversed(index.artifacts.values())
        if all(
            any(word in text for text in (row["name"], row["kind"], row["path"]))
            or f"{row['name']}@{row['digest']}".startswith(word)
            or row["digest"].startswith(word)
            for word in words
        )
    ]
    return {
        "runs": runs[:_FOUND_SHOWN],
        "runs_total": len(runs),
        "artifacts": artifacts[:_FOUND_SHOWN],
        "artifacts_total": len(artifacts),
    }


def artifact_path(index: Index, story: StageStory) -> str | None:
    """Return where a stage's output lies in this store, None where it is gone.

    Journals name the folder where it was written; a store that was moved since keeps the last two
    parts of that path. Only paths the index holds count, so a journal cannot point elsewhere.
    """
    output = story.finished.get("output") or {}
    path = "/".join(PurePath(str(output.get("path", ""))).parts[-2:])
    return path if path in index.artifacts else None


def _matching_runs(index: Index, query: str) -> Iterator[RunRow]:
    words = query.lower().split()
    for row in index.runs.values():
        text = f"{row['run_id']} {row['recipe']} {row['status']} {row['command']}".lower()
        if all(word in text or (row["commit"] or "").startswith(word) for word in words):
            yield row


def node_of(index: Index, story: StageStory) -> Node:
    """Return the box of a stage in the graph."""
    output = story.finished.get("output") or {}
    path = artifact_path(index, story)
    row = index.artifacts.get(path) if path else None
    tokens = story.finished.get("metrics", {}).get("tokens")
    seconds = story.finished.get("seconds")
    if seconds is None and story.started is not None and story.ended is not None:
        seconds = story.ended - story.started
    return {
        "name": story.name,
        "kind": story.kind,
        "makes": row["makes"] if row else "",
        "state": story.state,
        "why": story.why,
        "error": story.error,
        "started": story.started,
        "seconds": seconds,
        "path": path,
        "digest": output.get("digest"),
        "ledger": story.finished.get("ledger"),
        "tokens": tokens,
    }


def _edges(index: Index, story: RunStory) -> Iterator[Edge]:
    latest = {row["name"]: row for row in index.artifacts.values()}
    for stage in story.stages.values():
        slots, assumed = _slots(index, stage, latest)
        for slot, source in slots:
            if source in story.stages and source != stage.name:
                yield {
                    "source": source,
                    "target": stage.name,
                    "slot": slot,
                    "assumed": assumed,
                    "makes": "",
                    "unit": None,
                    "rows": None,
                    "bytes": None,
                    "tokens": None,
                    "drop_share": None,
                }


def _slots(
    index: Index, stage: StageStory, latest: Mapping[str, Any]
) -> tuple[list[tuple[str, str]], bool]:
    """Return the inputs of a stage, and whether they are only assumed from an earlier artifact."""
    if stage.begun:
        inputs = stage.begun.get("inputs", {})
        return [(slot, str(ref["name"])) for slot, ref in inputs.items()], False
    if stage.needs is not None:
        return list(stage.needs.items()), False
    before = latest.get(stage.name)
    paths = before["inputs"] if before and before["kind"] == stage.kind else []
    return [("", index.artifacts[path]["name"]) for path in paths if path in index.artifacts], True


def _in_order(names: list[str], edges: Iterable[Edge]) -> list[str]:
    graph: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        graph[edge["target"]].append(edge["source"])
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError:
        return names  # a journal by another hand: shown in its own order rather than not at all


def _fill(edges: list[Edge], nodes: Mapping[str, Node]) -> None:
    for edge in edges:
        source = nodes[edge["source"]]
        ledger = source["ledger"]
        edge["makes"], edge["tokens"] = source["makes"], source["tokens"]
        if ledger:
            edge["unit"] = str(ledger["unit"])
            edge["rows"], edge["bytes"] = ledger["kept"]["rows"], ledger["kept"]["bytes"]
            entered = ledger["entered"]["rows"]
            edge["drop_share"] = 1 - edge["rows"] / entered if entered else None
