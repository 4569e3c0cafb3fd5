"""Everything there is to show of one stage in one run: the panel beside the graph."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.storage import StorePath
from workflows.artifact import Manifest, load
from workflows.errors import RefError
from workflows.journal import Journal, runs_folder
from workflows.ui.index import Index
from workflows.ui.journals import RunStory, StageStory, losses
from workflows.ui.values import CodeView, InputView, Series, StageView
from workflows.ui.view import artifact_path, node_of, story_of

FILES_SHOWN = 200
_USERS_SHOWN = 50
_SAMPLES_SHOWN = 20
_TEXT_SHOWN = 2000
_POINTS = 400
_HASH_SHOWN = 16
_CHOICES = ("--force", "--until", "--select", "--run-id")


def stage_view(index: Index, run_id: str, stage: str) -> StageView:
    """Return what the panel shows; RefError where the run has no such stage."""
    return stage_of(index, run_id, story_of(index, run_id), stage)


def stage_of(index: Index, run_id: str, story: RunStory, stage: str) -> StageView:
    """Return what the panel shows, from a story already read.

    Raises:
        RefError: the run has no such stage; names those it has.
        StoreError: its manifest cannot be read.
    """
    told = story.stages.get(stage)
    if told is None:
        known = ", ".join(list(story.stages)[:10])
        raise RefError(f"run '{run_id}' has no stage '{stage}'; it has {known}.")
    path = artifact_path(index, told)
    artifact = load(index.store / path) if path else None
    view = _from_journal(index, run_id, story, told)
    if artifact is not None and path is not None:
        _from_manifest(view, artifact.manifest)
        users = index.consumers(path)
        view["used_by"], view["used_by_total"] = users[:_USERS_SHOWN], len(users)
        view["refs"] = _refs(index.store, path)
    elif told.finished:
        output = told.finished.get("output") or {}
        view["gone"] = str(output.get("path", "its folder"))
    if view["series"] is None and view["samples"] == [] and not told.finished:
        view["series"] = thinned(losses(Journal(runs_folder(index.store) / run_id), stage))
    return view


def _from_journal(index: Index, run_id: str, story: RunStory, told: StageStory) -> StageView:
    inputs: list[InputView] = [
        {
            "slot": slot,
            "name": str(ref.get("name", "")),
            "kind": str(ref.get("kind", "")),
            "digest": str(ref.get("digest", "")),
            "path": str(ref.get("path", "")),
            "there": ref.get("path") in index.artifacts,
        }
        for slot, ref in told.begun.get("inputs", {}).items()
    ]
    path = artifact_path(index, told)
    return {
        "node": node_of(index, told),
        "key": told.begun.get("key"),
        "config": told.begun.get("config", {}),
        "inputs": inputs,
        "used_by": [],
        "used_by_total": 0,
        "folder": str(index.store / path) if path else None,
        "created": None,
        "producer": told.finished.get("producer"),
        "build_seconds": None,
        "code": None,
        "files": [],
        "files_total": 0,
        "files_bytes": 0,
        "checks": told.checks,
        "metrics": dict(told.finished.get("metrics", {})),
        "series": None,
        "samples": [],
        "schema": "",
        "packages": {},
        "refs": [],
        "mlflow": mlflow_link(runs_folder(index.store) / run_id, told.name),
        "rerun": rerun_command(str(story.started.data.get("command", "")), told.name),
        "gone": None,
    }


def _from_manifest(view: StageView, m: Manifest) -> None:
    files = sorted(m.files, key=lambda entry: entry.path)
    code: CodeView = {
        "hash": m.code_hash,
        "policy": m.code_policy,
        "version": m.version,
        "parts": short_parts(m.code_parts),
        "commit": m.commit,
        "dirty_diff": m.dirty_diff,
    }
    view["key"], view["config"] = m.key, dict(m.config)
    view["created"], view["producer"], view["build_seconds"] = m.created, m.run_id, m.seconds
    view["code"] = code
    view["files"] = [entry.model_dump(mode="json") for entry in files[:FILES_SHOWN]]
    view["files_total"] = len(files)
    view["files_bytes"] = sum(entry.bytes for entry in files)
    view["checks"] = [
        check if isinstance(check, dict) else check.model_dump(mode="json")
        for check in getattr(m, "checks", ())
    ]
    view["metrics"] = dict(m.metrics)
    view["series"] = thinned(m.info.get("losses") or ())
    view["samples"] = _samples(m.info)
    view["schema"], view["packages"] = m.schema_text, dict(m.packages)


def short_parts(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the functions of a closure with as much of each hash as tells versions apart."""
    return {name: value[:_HASH_SHOWN] for name, value in sorted(parts.items())}


def thinned(values: Sequence[float | None], points: int = _POINTS) -> Series | None:
    """Return a curve of at most `points` points; None where there are no values."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return None
    every = -(-len(numbers) // points)
    groups = [numbers[at : at + every] for at in range(0, len(numbers), every)]
    return {
        "steps": len(numbers),
        "every": every,
        "mean": [sum(group) / len(group) for group in groups],
        "low": [min(group) for group in groups],
        "high": [max(group) for group in groups],
    }


def rerun_command(command: str, stage: str) -> str:
    """Return the command that rebuilds a stage, each word quoted for a shell.

    Settings of the run (`--set`) stay; what chose stages in that run, and its id, does not.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    if words[:2] != ["llada", "run"]:
        return f"llada run RECIPE --force {shlex.quote(stage)}"
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _CHOICES:
            skip = True
        elif word.partition("=")[0] not in _CHOICES:
            kept.append(word)
    return shlex.join([*kept, "--force", stage])


def mlflow_link(run_folder: StorePath, stage: str) -> str | None:
    """Return the page of a stage's MLflow run, None where tracking is not a web server."""
    try:
        state = json.loads((run_folder / "mlflow.json").read_bytes())
        run = str(state["stages"][stage])
        uri = urlsplit(str(os.environ.get("MLFLOW_TRACKING_URI") or state["tracking_uri"]))
        port = f":{uri.port}" if uri.port else ""
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not mirrored yet, or by another version
    if uri.scheme not in ("http", "https") or not uri.hostname or not run.isalnum():
        return None
    host = f"[{uri.hostname}]" if ":" in uri.hostname else uri.hostname
    return f"{uri.scheme}://{host}{port}{uri.path.rstrip('/')}/#/runs/{run}"


def _samples(info: Any) -> list[dict[str, Any]]:
    """Return samples and problems alike: prompt, text, and where there is one the answer."""
    found = [*info.get("samples", []), *info.get("problems", [])][:_SAMPLES_SHOWN]
    shown = ("prompt", "text", "answer", "right")
    return [
        {
            key: value[:_TEXT_SHOWN] if isinstance(value, str) else value
            for key, value in sample.items()
            if key in shown
        }
        for sample in found
    ]


def _refs(store: Path, path: str) -> list[str]:
    """Return the tags and pins that name an artifact; files of another form are passed over."""
    found = []
    for kind in ("tags", "pins"):
        folder = store / "_refs" / kind
        for file in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            try:
                value = json.loads(file.read_bytes())
            except (OSError, ValueError):
                continue
            if isinstance(value, dict) and value.get("ref") == path:
                note = f" ({value['note']})" if value.get("note") else ""
                found.append(f"{kind[:-1]} {file.stem}{note}")
    return found
