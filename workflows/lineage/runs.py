"""Two things to compare: what a run's journal tells of each stage, or the chain of an artifact."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from pipelines.errors import StoreError
from pipelines.ledger import Ledger
from pipelines.storage import StorePath
from workflows.artifact import Manifest, load
from workflows.errors import RefError
from workflows.journal import Event, Journal, journals_of
from workflows.lineage.graph import ArtifactGraph, read_graph
from workflows.lineage.refs import find_artifact

LAST = "last"
_SECOND = len("20260131-235959")


@dataclass(frozen=True)
class StageRecord:
    """One stage of a run; what only a manifest tells is None where the artifact was removed."""

    name: str
    kind: str
    key: str
    config: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]]
    """slot -> {name, digest, ...}"""
    cache: str = ""
    digest: str = ""
    """'' where the stage did not finish."""
    ledger: Ledger | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    error: str = ""
    started: float = 0.0
    ended: float | None = None
    folder: StorePath | None = None
    manifest: Manifest | None = None


@dataclass(frozen=True)
class Side:
    """One side of a comparison: stages by name in the order they were begun."""

    title: str
    recipe: str
    stages: Mapping[str, StageRecord]
    command: str = ""
    commit: str | None = None
    dirty_diff: str | None = None
    status: str = ""
    run_id: str = ""
    started: float = 0.0
    ended: float | None = None
    top: str = ""
    """The artifact that was asked for, where the side is an artifact."""


def find_run(store: StorePath, ref: str) -> Journal | None:
    """Return the journal of a run: its id or a unique beginning of it, `last`, `last~1`...

    Raises:
        RefError: several runs begin so, or there are fewer runs than `last~N` goes back.
    """
    if not ref:
        return None
    folders = [journal.folder for journal in journals_of(store)]
    word, tilde, back = ref.partition("~")
    if word == LAST and (not tilde or back.isdigit()):
        steps = int(back or 0)
        if steps >= len(folders):
            raise RefError(f"found {ref!r}; {store} has {len(folders)} runs")
        # Run ids are made of seconds: two runs of one second are told apart by their first event.
        folders.sort(key=lambda folder: (folder.name[:_SECOND], _began(folder)))
        return Journal(folders[-1 - steps])
    exact = [folder for folder in folders if folder.name == ref]
    found = exact or [folder for folder in folders if folder.name.startswith(ref)]
    if len(found) > 1:
        names = ", ".join(folder.name for folder in found[:5])
        raise RefError(f"{len(found)} runs begin with {ref!r}: {names}. Write more of the id.")
    return Journal(found[0]) if found else None


def _began(folder: StorePath) -> float:
    try:
        first = next(Journal(folder).milestones(), None)
    except ValueError:  # only whoever asks for this very run need hear that it is damaged
        return 0.0
    return first.time if first else 0.0


def side_of_run(journal: Journal, store: StorePath) -> Side:
    """Return what a journal tells, with the manifests that are still there.

    Raises:
        RefError: the journal is empty or of another version.
    """
    stages: dict[str, StageRecord] = {}
    first, status, ended = None, "", None
    try:
        for event in journal.milestones():
            first = first or event
            if event.kind == "run_finished":
                status, ended = str(event.data["status"]), event.time
            elif event.stage is not None:
                _apply(stages, event, store)
        if first is None or first.kind != "run_started":
            raise RefError(f"{journal.path} has no beginning: it tells nothing of a run")
    except ValueError as error:
        raise RefError(str(error)) from error
    except KeyError as error:
        raise RefError(f"{journal.path}: an event of this run lacks {error}") from error
    data = first.data
    return Side(
        title=f"run {data['run_id']}",
        recipe=str(data["recipe"]),
        stages=stages,
        command=str(data.get("command") or ""),
        commit=data.get("commit"),
        dirty_diff=data.get("dirty_diff"),
        status=status,
        run_id=str(data["run_id"]),
        started=first.time,
        ended=ended,
    )


def _apply(stages: dict[str, StageRecord], event: Event, store: StorePath) -> None:
    name, data = str(event.stage), event.data
    if event.kind == "stage_started":
        stages[name] = StageRecord(
            name, data["kind"], data["key"], data["config"], data["inputs"], started=event.time
        )
    elif event.kind == "stage_failed" and name in stages:
        stages[name] = replace(stages[name], error=str(data["error"]), ended=event.time)
    elif event.kind == "stage_finished" and name in stages:
        path = PurePosixPath(data["output"]["path"])
        folder = store / path.parent.name / path.name  # the store may have moved since
        manifest = manifest_of(folder)
        stages[name] = replace(
            stages[name],
            cache=data["cache"],
            digest=data["output"]["digest"],
            ledger=Ledger.model_validate(data["ledger"]),
            metrics=data["metrics"],
            seconds=manifest.seconds if manifest else data["seconds"],
            ended=event.time,
            folder=folder,
            manifest=manifest,
        )


def manifest_of(folder: StorePath) -> Manifest | None:
    """Return a manifest, None where it was removed or another version wrote it.

    The journal tells enough of a stage whose manifest cannot be read.
    """
    try:
        artifact = load(folder)
    except StoreError:
        return None
    return artifact.manifest if artifact else None


def side_of_artifact(graph: ArtifactGraph, ref: str) -> Side:
    """Return an artifact and all it was made from; raises RefError where nothing answers to it."""
    top = find_artifact(graph, ref)
    stages = {}
    for node in graph.up(top):
        m = node.load().manifest
        inputs = {slot: one.model_dump(mode="json") for slot, one in m.inputs.items()}
        stages[m.name] = StageRecord(
            m.name, m.kind, m.key, m.config, inputs,
            digest=m.digest, ledger=m.ledger, metrics=m.metrics, seconds=m.seconds,
            folder=node.folder, manifest=m,
        )  # fmt: skip
    m = top.load().manifest
    title = f"artifact {top.label}"
    return Side(
        title, m.recipe, stages,
        commit=m.commit, dirty_diff=m.dirty_diff, run_id=m.run_id, top=m.name,
    )  # fmt: skip


def sides(store: StorePath, *refs: str) -> list[Side]:
    """Return what references name: runs where one answers, else artifacts.

    Raises:
        RefError: neither a run nor an artifact answers to one of them.
    """
    graph: ArtifactGraph | None = None
    found = []
    for ref in refs:
        journal = find_run(store, ref)
        if journal is not None:
            found.append(side_of_run(journal, store))
            continue
        graph = graph or read_graph(store)
        try:
            found.append(side_of_artifact(graph, ref))
        except RefError as error:
            raise RefError(f"no run begins with {ref!r}, and {error}") from error
    return found
