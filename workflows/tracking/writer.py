"""Writes the events of one journal into MLflow, through MlflowClient and explicit run ids only.

One experiment a recipe, one parent run a `llada run`, one child run a stage. Applying an event a
second time changes nothing: a mirror that was killed half way simply goes over the rest again.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipelines import storage
from workflows.artifact import MANIFEST
from workflows.journal import Event
from workflows.tracking import checkpoints, datasets, values
from workflows.tracking.datasets import label
from workflows.tracking.progress import Mirrored

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, LoggedModelInput

_PARENT = "mlflow.parentRunId"
_MANY = 10_000


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
        self._state.last_time = max(self._state.last_time, events[-1].time)

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
        for run in self._client.search_runs([self._experiment], query, max_results=_MANY):
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
        attempt = self._state.attempts[stage] = self._state.attempts.get(stage, 0) + 1
        if stage not in self._state.stages:
            tags = {key: data.get(key) for key in ("kind", "key", "verdict", "why")}
            tags |= {_PARENT: self._state.parent, "run_id": self._run_id, "stage": stage}
            self._state.stages[stage] = self._create_run(event, stage, tags)
        run = self._state.stages[stage]
        if attempt > 1:
            self._try_again(run, attempt)
        if stage not in self._state.running:
            self._state.running.append(stage)
        params = [Param(key, value) for key, value in values.params(data["config"]).items()]
        self._client.log_batch(run, params=params)
        self._client.log_dict(run, data["config"], "config.json")
        self._state.read[stage] = sorted({label(one) for one in data["inputs"].values()})
        links, models = self._inputs(data["inputs"])
        if links or models:
            self._client.log_inputs(run, datasets=links, models=models)

    def _try_again(self, run: str, attempt: int) -> None:
        """Reopen a stage's run: what went wrong before stays as `attempt N error`."""
        tags = self._client.get_run(run).data.tags
        if "error" in tags:
            self._client.set_tag(run, f"attempt {attempt - 1} error", tags["error"])
            self._client.delete_tag(run, "error")
        self._client.set_tag(run, "attempt", str(attempt))
        self._client.update_run(run, status="RUNNING")

    def _inputs(
        self, inputs: Mapping[str, Mapping[str, Any]]
    ) -> tuple[list["DatasetInput"], list["LoggedModelInput"]]:
        from mlflow.entities import LoggedModelInput

        slots: dict[str, list[str]] = {}
        for slot, artifact in inputs.items():
            slots.setdefault(label(artifact), []).append(slot)
            if artifact["name"] not in self._state.stages:
                self._model(label(artifact))  # this run did not announce it, maybe an earlier one
        # MLflow keeps one link a dataset, so an artifact in two slots names both.
        links = [
            datasets.link(inputs[names[0]], "input", slot=",".join(names))
            for found, names in slots.items()
            if found not in self._state.models
        ]
        models = [self._state.models[found] for found in slots if found in self._state.models]
        return links, [LoggedModelInput(model) for model in models]

    def _stage_finished(self, event: Event) -> None:
        from mlflow.entities import RunTag

        stage, data = str(event.stage), event.data
        run, output = self._state.stages[stage], data["output"]
        tags = {"cache": data["cache"], "output": label(output), "producer": data["producer"]}
        self._client.log_batch(
            run, tags=[RunTag(key, value) for key, value in values.tags(tags).items()]
        )
        if data["model"]:
            models = [self._link_model(run, output, self._state.last_step.get(stage, 0))]
        else:
            models = self._models_read(stage)
            self._client.log_inputs(run, datasets=[datasets.link(output, "output", data["ledger"])])
        self._log_results(stage, event, models)
        folder = storage.at(output["path"])
        if storage.sizes(folder, [MANIFEST]):  # the artifact may have been removed since
            with storage.local(folder / MANIFEST) as manifest:
                self._client.log_artifact(run, str(manifest))
        self._end(stage, "FINISHED")

    def _models_read(self, stage: str) -> list[str]:
        found = self._state.read.get(stage, [])
        return [self._state.models[one] for one in found if one in self._state.models]

    def _log_results(self, stage: str, event: Event, models: list[str]) -> None:
        """Log what a stage measured, as measures of the model that it made or evaluated.

        A model or a dataset stands beside them where there is only one it can have been.
        """
        from mlflow.entities import Metric

        data, run = event.data, self._state.stages[stage]
        # At the last step, so that a streamed metric of the same name keeps its curve.
        step, time = self._state.last_step.get(stage, 0), _millis(event.time)
        books = {**values.ledger_metrics(data["ledger"]), "seconds": float(data["seconds"])}
        measured = values.metrics(data["metrics"])
        read = [one for one in self._state.read.get(stage, []) if one not in self._state.models]
        dataset = datasets.named(read[0]) if len(read) == 1 else (None, None)
        model = models[0] if len(models) == 1 else None
        known = set()
        if model and data["cache"] == "reused":  # measured once, told once
            had = self._client.get_logged_model(model).metrics or ()
            known = {(one.key, one.value, one.dataset_digest) for one in had}
        points = [Metric(key, value, time, step) for key, value in books.items()]
        for key, value in measured.items():
            # MLflow keeps a model's NaN as 0, so a model is spared it; the run has it.
            tell = model and not math.isnan(value) and (key, value, dataset[1]) not in known
            points.append(Metric(key, value, time, step, *((model, *dataset) if tell else ())))
        self._client.log_batch(run, metrics=points)

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

    def _link_model(self, run: str, output: Mapping[str, Any], step: int) -> str:
        model = self._model(label(output))
        if model is None:
            model = checkpoints.create(self._client, self._experiment, run, output)
            self._state.models[label(output)] = model
        checkpoints.link_output(self._client, run, model, step)
        return model

    def _model(self, output: str) -> str | None:
        """Return the id of an artifact's logged model, also of one that an earlier run made."""
        if output not in self._state.models:
            found = checkpoints.find(self._client, [self._experiment], output)
            if found is None:
                return None
            self._state.models[output] = str(found.model_id)
        return self._state.models[output]


def _millis(seconds: float) -> int:
    return int(seconds * 1000)
