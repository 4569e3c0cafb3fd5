"""Journals as the runner writes them, and what MLflow holds of them, for tests of the mirror."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from workflows.journal import Event, Journal, runs_folder
from workflows.tracking.mirror import MlflowMirror

DIGEST = {name: f"{name:0<64}" for name in ("crawl", "clean", "base", "score", "report")}
START = float(int(time.time()))
STEPS = 1100  # more than MLflow takes in one call
HTML = "<script>alert('&amp;')</script> \N{SNOWMAN} 'quoted' \"twice\""
LEDGER = {
    "unit": "documents",
    "entered": {"rows": 10, "bytes": 1000},
    "kept": {"rows": 7, "bytes": 800},
    "dropped": {
        "gopher/short doc": {"rows": 2, "bytes": 150},
        "c4: {curly}": {"rows": 1, "bytes": 50},
    },
}


class Clock:
    """Event times that only grow, so that MLflow's order can be checked."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        self.now += 1
        return self.now


def started(run_id: str = "run-1", **more: Any) -> Event:
    data = {
        "recipe": "demo",
        "run_id": run_id,
        "command": "llada run demo.yaml",
        "commit": "c0ffee",
        "plan": [{"name": "clean", "kind": "filter", "verdict": "RUN", "why": "never built"}],
        "pid": os.getpid(),
        "host": socket.gethostname(),
    }
    return Event(kind="run_started", data={**data, **more})


def begin(stage: str, inputs: dict[str, str], config: dict[str, Any] | None = None) -> Event:
    slots = {
        slot: {"name": name, "digest": DIGEST[name], "path": f"x/{name}", "kind": "any"}
        for slot, name in inputs.items()
    }
    data = {
        "kind": f"{stage}-kind",
        "key": f"key of {stage}",
        "verdict": "RUN",
        "why": "never built",
    }
    return Event(
        kind="stage_started", stage=stage, data={**data, "config": config or {}, "inputs": slots}
    )


def finish(store: Path, stage: str, cache: str = "ran", **more: Any) -> Event:
    folder = store / "_made" / stage
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"name": stage}))
    data = {
        "cache": cache,
        "output": {"name": stage, "digest": DIGEST[stage], "path": str(folder), "kind": "any"},
        "ledger": LEDGER,
        "metrics": {},
        "seconds": 2.5,
        "producer": "run-0",
        "model": False,
    }
    return Event(kind="stage_finished", stage=stage, data={**data, **more})


CONFIG = {
    "rules": ["gopher", "c4"],
    "nested": {"deep": 1.5, "off": None},
    "prompt": HTML,
    "text": "",
}


def _config_of(store: Path) -> dict[str, Any]:
    return {**CONFIG, "long": "x" * 10_000, "bad {key}": True, "where": str(store)}


def whole_run(store: Path, recipe: str = "demo") -> list[Event]:
    tick = Clock()
    events = [
        started(recipe=recipe),
        begin("crawl", {}),
        finish(store, "crawl", cache="reused"),
        begin("clean", {"docs": "crawl"}, _config_of(store)),
        finish(store, "clean", metrics={"kept rate": 0.7}),
        begin("base", {"tokens": "clean"}),
        *(
            Event(
                kind="metrics", stage="base", step=step, data={"values": {"loss": 9.0 - step / 300}}
            )
            for step in range(1, STEPS + 1)
        ),
        Event(kind="metrics", stage="base", step=STEPS + 1, data={"values": {"loss": None}}),
        finish(store, "base", cache="resumed", model=True, metrics={"loss": 0.5, "mfu": 0.3}),
        begin("score", {"model": "base", "problems": "clean"}),
        Event(kind="stage_failed", stage="score", data={"error": "a worker died"}),
        begin("score", {"model": "base", "problems": "clean"}),
        finish(store, "score", metrics={"exact_match": 0.25, "bound": None}),
        begin("report", {"model": "base", "held_out": "clean", "seen": "clean"}),
        Event(kind="stage_failed", stage="report", data={"error": f"no disk {HTML}" + "y" * 9_000}),
        Event(kind="run_finished", data={"status": "FAILED"}),
    ]
    return [event.model_copy(update={"time": tick()}) for event in events]


def write(journal: Journal, events: list[Event]) -> None:
    for event in events:
        journal.write(event)


class Seen:
    """What MLflow holds, read through its own client."""

    def __init__(self, where: Path | str, recipe: str = "demo") -> None:
        """Look into the database of a store, or at a tracking address."""
        from mlflow import MlflowClient

        self.uri = where if isinstance(where, str) else f"sqlite:///{where / 'mlflow.db'}"
        self.client: Any = MlflowClient(self.uri, registry_uri=self.uri)
        (self.experiment,) = self.client.search_experiments(filter_string=f"name = '{recipe}'")
        found = self.client.search_runs([self.experiment.experiment_id])
        # Not the runs as found: a search leaves out the models that a run took in.
        self.runs: list[Any] = [self.client.get_run(run.info.run_id) for run in found]
        self.by_stage: dict[str | None, Any] = {
            run.data.tags.get("stage"): run for run in self.runs
        }
        self.parent = self.by_stage[None]

    def datasets(self, stage: str) -> list[tuple[str, str, dict[str, str]]]:
        return sorted(
            (one.dataset.name, one.dataset.digest, {tag.key: tag.value for tag in one.tags})
            for one in self.by_stage[stage].inputs.dataset_inputs
        )

    def history(self, stage: str, key: str) -> list[tuple[int, float]]:
        run = self.by_stage[stage].info.run_id
        return [(one.step, one.value) for one in self.client.get_metric_history(run, key)]

    def artifact(self, stage: str | None, name: str) -> Any:
        path = self.client.download_artifacts(self.by_stage[stage].info.run_id, name)
        return json.loads(Path(path).read_text())

    def models(self) -> list[Any]:
        return list(self.client.search_logged_models([self.experiment.experiment_id]))

    def measured(self, model: Any) -> list[tuple[str, float, str, str]]:
        """What is known of a model: metric, value, dataset, and the stage that measured it."""
        stages = {run.info.run_id: stage for stage, run in self.by_stage.items()}
        return sorted(
            (one.key, one.value, one.dataset_name, stages[one.run_id]) for one in model.metrics
        )

    def everything(self) -> dict[str, Any]:
        """All that a second sync could double or change."""
        return {
            str(stage): (
                json.dumps(
                    run.to_dictionary(), sort_keys=True, default=vars
                ),  # as text: NaN is not NaN
                [vars(link) for link in run.inputs.model_inputs],
                [vars(link) for link in run.outputs.model_outputs],
                len(self.history("base", "loss")),
                len(self.runs),
                [self.measured(model) for model in self.models()],
            )
            for stage, run in self.by_stage.items()
        }


def mirror_whole_run(store: Path, uri: str | None = None, recipe: str = "demo") -> Seen:
    journal = Journal(runs_folder(store) / "run-1")
    write(journal, whole_run(store, recipe))
    uri = uri or f"sqlite:///{store / 'mlflow.db'}"
    result = MlflowMirror(store, uri).sync(journal)
    assert result.problem is None
    assert result.mirrored == len(list(journal.events()))
    return Seen(uri, recipe)
