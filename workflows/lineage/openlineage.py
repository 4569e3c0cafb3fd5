"""A run as OpenLineage events: START and COMPLETE, FAIL or ABORT of the run and of each stage.

Job = stage, dataset = artifact, in the standard's version 2-0-2. The events are written by hand:
the export needs nothing installed, and the tests validate it against the standard's schemas.
"""

import http.client
import json
import os
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pipelines.storage import StorePath
from workflows.artifact import Manifest
from workflows.errors import UsageError, WorkflowError
from workflows.journal import Journal
from workflows.lineage.facets import (
    SPEC,
    Json,
    assertions,
    dataset_facets,
    facet,
    job_facets,
    producer,
    statistics,
)
from workflows.lineage.runs import Side, StageRecord, manifest_of, side_of_run
from workflows.liveness import writer_is_gone

NAMESPACE = "llada"
API_KEY = "OPENLINEAGE_API_KEY"
"""The environment variable with the key that the server asks for, if it does."""
_PATH = "/api/v1/lineage"
_SECONDS = 10
_ENDS: Mapping[str, str] = {"FINISHED": "COMPLETE", "FAILED": "FAIL", "KILLED": "ABORT"}


def events(journal: Journal, store: StorePath) -> list[Json]:
    """Return the events of a run in the order of time; a run that goes on has no end yet.

    Raises:
        RefError: the journal is not one that this version reads.
    """
    side = side_of_run(journal, store)
    writer = _Writer(side, store)
    told = list(journal.events())
    first, last = told[0], told[-1]
    status = side.status or ("KILLED" if writer_is_gone(first, last.time) else "")
    found = [writer.run_event("START", side.started)]
    for stage in side.stages.values():
        found.append(writer.stage_event("START", stage, stage.started))
        ended = _end_of(stage, status)
        if ended:
            at = stage.ended if stage.ended is not None else side.ended or last.time
            found.append(writer.stage_event(ended, stage, at))
    if status:
        found.append(writer.run_event(_ENDS[status], side.ended or last.time))
    return sorted(found, key=lambda event: str(event["eventTime"]))


def _end_of(stage: StageRecord, status: str) -> str:
    if stage.digest:
        return "COMPLETE"
    if stage.error:
        return "FAIL"
    return "ABORT" if status else ""


class _Writer:
    """Writes the events of one run."""

    def __init__(self, side: Side, store: StorePath) -> None:
        self._side = side
        self._store = store
        self._run = _uuid(side.run_id)

    def run_event(self, kind: str, at: float) -> Json:
        """Return an event of the whole run: the parent of its stages."""
        tags = facet("tags", tags=[_tag("run_id", self._side.run_id)])
        run = {"runId": self._run, "facets": {"tags": tags}}
        return self._event(kind, at, run, self._side.recipe, None)

    def stage_event(self, kind: str, stage: StageRecord, at: float) -> Json:
        """Return an event of one stage with what it read and, once it is done, wrote."""
        parent = {
            "run": {"runId": self._run},
            "job": {"namespace": NAMESPACE, "name": self._side.recipe},
        }
        told = {"key": stage.key, "cache": stage.cache if kind == "COMPLETE" else ""}
        facets = {
            "parent": facet("parent", **parent, root=parent),
            "tags": facet("tags", tags=[_tag(key, value) for key, value in told.items() if value]),
        }
        if kind == "FAIL":
            facets["errorMessage"] = facet(
                "errorMessage", message=stage.error, programmingLanguage="PYTHON"
            )
        run = {"runId": _uuid(self._side.run_id, stage.name), "facets": facets}
        name = f"{self._side.recipe}.{stage.name}"
        event = self._event(kind, at, run, name, stage.kind)
        event["inputs"] = [self._input(ref) for ref in stage.inputs.values()]
        if kind == "COMPLETE":
            event["outputs"] = [self._output(stage)]
        return event

    def _event(self, kind: str, at: float, run: Json, job: str, stage_kind: str | None) -> Json:
        moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
        facets = job_facets(stage_kind, self._side.commit)
        return {
            "eventTime": moment.replace("+00:00", "Z"),
            "eventType": kind,
            "producer": producer(),
            "schemaURL": f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": run,
            "job": {"namespace": NAMESPACE, "name": job, "facets": facets},
            "inputs": [],
            "outputs": [],
        }

    def _input(self, ref: Mapping[str, Any]) -> Json:
        folder = self._store / str(ref["path"])
        manifest = manifest_of(folder)
        checks = assertions(manifest)
        dataset = self._dataset(ref, folder, manifest)
        return dataset | ({"inputFacets": checks} if checks else {})

    def _output(self, stage: StageRecord) -> Json:
        assert stage.folder is not None
        manifest = stage.manifest
        dataset = self._dataset(
            {"name": stage.name, "digest": stage.digest}, stage.folder, manifest
        )
        # Checks belong to inputs in the standard; the last artifact is nobody's input.
        dataset["facets"] |= assertions(manifest)
        return dataset | ({"outputFacets": statistics(manifest)} if manifest else {})

    def _dataset(
        self, ref: Mapping[str, Any], folder: StorePath, manifest: Manifest | None
    ) -> Json:
        return {
            "namespace": self._store.as_uri(),
            "name": str(ref["name"]),
            "facets": dataset_facets(ref, folder.as_uri(), manifest),
        }


def _uuid(*parts: str) -> str:
    """Return an id that is the same at every export of the run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join([NAMESPACE, *parts])))


def _tag(key: str, value: str) -> Json:
    return {"key": key, "value": value, "source": "LLADA"}


def lines(found: list[Json]) -> Iterator[str]:
    """Yield events as JSON lines."""
    for event in found:
        yield json.dumps(event, sort_keys=True, ensure_ascii=False) + "\n"


def send(found: list[Json], url: str) -> str:
    """POST events one by one to a server; return the address that took them.

    Args:
        found: What `events` returned.
        url: http:// or https://; without a path, the standard's is added.

    Raises:
        UsageError: another scheme.
        WorkflowError: the server does not take them; says how many it took.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--url: found {shown(url)!r}; allowed are http:// and https:// addresses")
    path = parts.path if parts.path.strip("/") else _PATH
    target = urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(API_KEY):
        headers["Authorization"] = f"Bearer {key}"
    opener = urllib.request.build_opener(_NoRedirects)
    for number, event in enumerate(found):
        body = json.dumps(event).encode()
        request = urllib.request.Request(target, body, headers, method="POST")
        try:
            with opener.open(request, timeout=_SECONDS) as answer:
                answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise WorkflowError(
                f"{shown(target)} took {number} of {len(found)} events, then: {error}. Send them "
                "again once it answers: the ids of the runs are the same each time."
            ) from error
    return shown(target)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET that no one takes, and carry the key elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def shown(url: str) -> str:
    """Return an address without what may be a password."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
