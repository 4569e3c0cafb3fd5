"""Writes the events of one journal into MLflow, through MlflowClient and explicit run ids only.

One experiment a recipe, one parent run a `llada run`, one child run a stage. Applying an event a
second time changes nothing: a mirror that was killed half way simply goes over the rest again.
"""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from workflows import mlflow_values as values
from workflows.journal import Event

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, LoggedModelInput

_PARENT = "mlflow.parentRunId"
_CONTEXT = "mlflow.data.context"


class Mirrored(BaseModel):
    """How far a journal is mirrored; kept as `mlflow.json` beside it."""

    model_config = ConfigDict(extra="forbid")
    tracking_uri: str
    consumed: int = 0
    """Events that are in MLflow."""
    settled: bool = False
    """False while a sync is under way: runs may exist in MLflow that are not listed here."""
    closed: bool = False
    parent: str | None = None
    stages: dict[str, str] = {}
    running: list[str] = []
    last_step: dict[str, int] = {}
    models: dict[str, str] = {}
    """name@digest of a checkpoint -> id of its logged model"""
    last_time: float = 0.0


class MlflowWriter:
    """Applies events in order; keeps `state` up to date, whose saving is the caller's."""

    def __init__(
        self, client: "MlflowClient", state: Mirrored, started: Event, artifacts: Path | None
    ) -> None:
        """Find or make the experiment.

        Args:
            client: Bound to one tracking URI.
            state: What is mirrored already.
            started: The journal's `run_started`.
            artifacts: Where MLflow's copies lie; None leaves it to the server.
        """
        self._client = client
        self._state = state
        self._started = started
        self._run_id = str(started.data["run_id"])
        self._experiment = self._find_experiment(str(started.data["recipe"]), artifacts)
        if not state.settled:
            self._find_runs()

    def apply(self, event: Event) -> None:
        """Mirror one event other than `metrics`."""
        self._state.last_time = event.time
        match event.kind:
            case "run_started":
                self._run_started(event)
            case "stage_started":
                self._stage_started(event)
            case "stage_finished":
                self._stage_finished(event)
            case "stage_failed":
                self._stage_failed(event)
            case "run_finished":
                self.close(str(event.data["status"]))
            case "metrics":
                self.stream(str(event.stage), [event])

    def stream(self, stage: str, events: Sequence[Event]) -> None:
        """Mirror `metrics` events of one stage by their steps; MlflowClient cuts long lists."""
        from mlflow.entities import Metric

        points = [
            Metric(key, value, _millis(event.time), event.step or 0)
            for event in events
            for key, value in values.metrics(event.data["values"]).items()
        ]
        self._client.log_batch(self._state.stages[stage], metrics=points)
        self._state.last_step[stage] = events[-1].step or 0
        self._state.last_time = events[-1].time

    def close(self, status: str) -> None:
        """End the parent run, and as KILLED every stage that never said how it ended."""
        for stage in list(self._state.running):
            self._end(stage, "KILLED")
        if self._state.parent is not None:
            self._client.set_terminated(self._state.parent, status, _millis(self._state.last_time))
        self._state.closed = True

    def _find_experiment(self, recipe: str, artifacts: Path | None) -> str:
        found = self._client.get_experiment_by_name(recipe)
        if found is not None:
            return str(found.experiment_id)
        place = (artifacts / quote(recipe, safe="")).as_uri() if artifacts else None
        return str(self._client.create_experiment(recipe, artifact_location=place))

    def _find_runs(self) -> None:
        """List the runs that an earlier sync made without living to note them."""
        query = f"tags.run_id = '{self._run_id}'"
        for run in self._client.search_runs([self._experiment], query):
            stage = run.data.tags.get("stage")
            if stage is None:
                self._state.parent = run.info.run_id
            else:
                self._state.stages[stage] = run.info.run_id

    def _run_started(self, event: Event) -> None:
        data = event.data
        if self._state.parent is None:
            tags = {key: data.get(key) for key in ("run_id", "recipe", "command", "dirty_diff")}
            self._state.parent = self._create_run(event, self._run_id, tags)
        self._client.log_dict(self._state.parent, {"plan": data["plan"]}, "plan.json")

    def _create_run(self, event: Event, title: str, tags: Mapping[str, object]) -> str:
        commit = self._started.data.get("commit")
        run = self._client.create_run(
            self._experiment,
            start_time=_millis(event.time),
            run_name=title,
            tags=values.tags({**tags, "commit": commit, "mlflow.source.git.commit": commit}),
        )
        return str(run.info.run_id)

    def _stage_started(self, event: Event) -> None:
        from mlflow.entities import Param

        stage, data = str(event.stage), event.data
        if stage not in self._state.stages:
            tags = {key: data.get(key) for key in ("kind", "key", "verdict", "why")}
            tags |= {_PARENT: self._state.parent, "run_id": self._run_id, "stage": stage}
            self._state.stages[stage] = self._create_run(event, stage, tags)
        run = self._state.stages[stage]
        if stage not in self._state.running:
            self._state.running.append(stage)
        params = [Param(key, value) for key, value in values.params(data["config"]).items()]
        self._client.log_batch(run, params=params)
        self._client.log_dict(run, data["config"], "config.json")
        datasets, models = self._inputs(data["inputs"])
        if datasets or models:
            self._client.log_inputs(run, datasets=datasets, models=models)

    def _inputs(
        self, inputs: Mapping[str, Mapping[str, Any]]
    ) -> tuple[list["DatasetInput"], list["LoggedModelInput"]]:
        from mlflow.entities import LoggedModelInput

        slots: dict[str, list[str]] = {}
        for slot, artifact in inputs.items():
            slots.setdefault(_label(artifact), []).append(slot)
        # MLflow keeps one link a dataset, so an artifact in two slots names both.
        datasets = [
            _dataset(inputs[names[0]], "input", slot=",".join(names))
            for label, names in slots.items()
            if label not in self._state.models
        ]
        models = [self._state.models[label] for label in slots if label in self._state.models]
        return datasets, [LoggedModelInput(model) for model in models]

    def _stage_finished(self, event: Event) -> None:
        from mlflow.entities import Metric, RunTag

        stage, data = str(event.stage), event.data
        run, output = self._state.stages[stage], data["output"]
        tags = {"cache": data["cache"], "output": _label(output), "producer": data["producer"]}
        found = {
            **values.ledger_metrics(data["ledger"]),
            **values.metrics(data["metrics"]),
            "seconds": float(data["seconds"]),
        }
        # At the last step, so that a streamed metric of the same name keeps its curve.
        step, time = self._state.last_step.get(stage, 0), _millis(event.time)
        self._client.log_batch(
            run,
            metrics=[Metric(key, value, time, step) for key, value in found.items()],
            tags=[RunTag(key, value) for key, value in values.tags(tags).items()],
        )
        if data["model"]:
            self._link_model(run, output, step)
        else:
            self._client.log_inputs(run, datasets=[_dataset(output, "output", data["ledger"])])
        manifest = Path(output["path"]) / "manifest.json"
        if manifest.is_file():  # the artifact may have been removed since
            self._client.log_artifact(run, str(manifest))
        self._end(stage, "FINISHED")

    def _stage_failed(self, event: Event) -> None:
        stage = str(event.stage)
        error = values.cut(str(event.data["error"]), values.TAG_LIMIT)
        self._client.set_tag(self._state.stages[stage], "error", error)
        self._end(stage, "FAILED")

    def _end(self, stage: str, status: str) -> None:
        self._client.set_terminated(
            self._state.stages[stage], status, _millis(self._state.last_time)
        )
        if stage in self._state.running:
            self._state.running.remove(stage)

    def _link_model(self, run: str, output: Mapping[str, Any], step: int) -> None:
        from mlflow.entities import LoggedModelOutput

        label = _label(output)
        model = self._state.models.get(label) or self._find_model(label)
        if model is None:
            model = self._create_model(run, output)
        self._state.models[label] = model
        linked = self._client.get_run(run).outputs
        if all(link.model_id != model for link in (linked.model_outputs if linked else ())):
            # Only once: MLflow refuses a second link.
            self._client.log_outputs(run, [LoggedModelOutput(model, step)])

    def _find_model(self, label: str) -> str | None:
        query = f"tags.output = '{label}'"
        found = self._client.search_logged_models([self._experiment], query, max_results=1)
        return str(found[0].model_id) if found else None

    def _create_model(self, run: str, output: Mapping[str, Any]) -> str:
        """Register a checkpoint whose files stay in our store.

        What `mlflow.create_external_model` does, without its process-wide tracking URI.
        """
        from mlflow.models.utils import get_external_mlflow_model_spec

        model = self._client.create_logged_model(
            self._experiment,
            name=re.sub(r"[^\w\- ]", "-", str(output["name"])),
            source_run_id=run,
            tags={
                "mlflow.model.isExternal": "true",
                "output": _label(output),
                "path": str(output["path"]),
            },
            model_type=str(output["kind"]),
        )
        with tempfile.TemporaryDirectory() as folder:
            get_external_mlflow_model_spec(model).save(str(Path(folder) / "MLmodel"))
            self._client.log_model_artifacts(model.model_id, folder)
        self._client.finalize_logged_model(model.model_id, "READY")
        return str(model.model_id)


def _label(artifact: Mapping[str, Any]) -> str:
    return f"{artifact['name']}@{artifact['digest']}"


def _dataset(
    artifact: Mapping[str, Any],
    context: str,
    ledger: Mapping[str, Any] | None = None,
    slot: str | None = None,
) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    kept = ledger["kept"] if ledger else None
    dataset = Dataset(
        name=values.cut(str(artifact["name"]), values.DATASET_NAME_LIMIT),
        digest=str(artifact["digest"])[: values.DIGEST_LIMIT],
        source_type="local",
        source=json.dumps({"uri": str(artifact["path"])}),
        profile=json.dumps({"num_rows": kept["rows"], "bytes": kept["bytes"]}) if kept else None,
    )
    tags = {_CONTEXT: context, "digest": str(artifact["digest"]), "slot": slot}
    return DatasetInput(
        dataset,
        [InputTag(k, values.cut(v, values.INPUT_TAG_LIMIT)) for k, v in tags.items() if v],
    )


def _millis(seconds: float) -> int:
    return int(seconds * 1000)
