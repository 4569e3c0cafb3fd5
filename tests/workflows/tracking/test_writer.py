"""What the mirror writes, read back from a real MLflow: on SQLite, and before PostgreSQL."""

import json
import math
import shutil
from pathlib import Path

import pytest

from tests.support.journals import (
    CONFIG,
    DIGEST,
    HTML,
    START,
    STEPS,
    Seen,
    begin,
    finish,
    mirror_whole_run,
    started,
    write,
)
from tests.support.mlflow_server import TrackingServer
from workflows.journal import Event, Journal, runs_folder
from workflows.tracking.mirror import MlflowMirror

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(
    scope="module",
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)],
)
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> Seen:
    """A whole run as each back end has it: the same must be true of both."""
    store = tmp_path_factory.mktemp("store")
    if request.param == "sqlite":
        shutil.copy(empty_database, store / "mlflow.db")
        return mirror_whole_run(store)
    server: TrackingServer = request.getfixturevalue("tracking_server")
    return mirror_whole_run(store, server.uri)


def test_one_parent_run_and_one_child_a_stage_each_with_its_end(seen: Seen) -> None:
    assert {stage: run.info.status for stage, run in seen.by_stage.items()} == {
        None: "FAILED",
        "crawl": "FINISHED",
        "clean": "FINISHED",
        "base": "FINISHED",
        "score": "FINISHED",
        "report": "FAILED",
    }
    for stage, run in seen.by_stage.items():
        parent = None if stage is None else seen.parent.info.run_id
        assert run.data.tags.get("mlflow.parentRunId") == parent
        assert run.data.tags["commit"] == "c0ffee"
    clean = seen.by_stage["clean"].info
    assert (clean.start_time, clean.end_time) == ((START + 4) * 1000, (START + 5) * 1000)
    assert seen.artifact(None, "plan.json")["plan"][0]["why"] == "never built"


def test_mlflows_copies_lie_in_the_store_or_with_the_server(seen: Seen) -> None:
    store = Path(seen.by_stage["clean"].data.params["where"])
    served = seen.uri.startswith("http")
    place = "mlflow-artifacts:/" if served else (store / "_mlflow" / "demo").as_uri()
    assert seen.experiment.artifact_location.startswith(place)
    assert seen.artifact("clean", "manifest.json") == {"name": "clean"}


def test_tags_say_what_became_of_the_stage(seen: Seen) -> None:
    tags = seen.by_stage["base"].data.tags
    expected = {
        "kind": "base-kind",
        "key": "key of base",
        "cache": "resumed",
        "output": f"base@{DIGEST['base']}",
        "producer": "run-0",
        "run_id": "run-1",
    }
    assert {key: tags[key] for key in expected} == expected
    assert seen.by_stage["crawl"].data.tags["cache"] == "reused"
    error = seen.by_stage["report"].data.tags["error"]
    assert error.startswith(f"no disk {HTML}")
    assert len(error) == 8000


def test_params_are_the_flattened_config_and_the_artifact_is_all_of_it(seen: Seen) -> None:
    params = seen.by_stage["clean"].data.params
    assert params["rules"] == '["gopher", "c4"]'
    assert (params["nested.deep"], params["nested.off"]) == ("1.5", "null")
    assert (params["prompt"], params["text"]) == (HTML, "")
    assert len(params["long"]) == 6000
    assert sum(key.startswith("bad _key_-") for key in params) == 1
    assert seen.artifact("clean", "config.json") == {
        **CONFIG,
        "long": "x" * 10_000,
        "bad {key}": True,
        "where": seen.by_stage["clean"].data.params["where"],
    }


def test_metrics_are_the_ledger_by_rule_and_what_the_stage_measured(seen: Seen) -> None:
    metrics = seen.by_stage["clean"].data.metrics
    curly = [key for key in metrics if key.startswith("rows_dropped_c4: _curly_-")]
    assert [metrics.pop(key) for key in curly] == [1]
    assert metrics.pop(curly[0].replace("rows_", "bytes_", 1), None) is None
    assert (
        metrics.items()
        >= {
            "rows/entered": 10,
            "rows/kept": 7,
            "rows/dropped": 3,
            "rows/dropped/gopher/short doc": 2,
            "bytes/entered": 1000,
            "bytes/kept": 800,
            "bytes/dropped": 200,
            "bytes/dropped/gopher/short doc": 150,
            "kept rate": 0.7,
            "seconds": 2.5,
        }.items()
    )


def test_training_metrics_keep_their_steps(seen: Seen) -> None:
    history = seen.history("base", "loss")
    assert history[:STEPS] == [(step, 9.0 - step / 300) for step in range(1, STEPS + 1)]
    step, value = history[STEPS]
    assert step == STEPS + 1
    assert math.isnan(value)
    assert history[STEPS + 1 :] == [(STEPS + 1, 0.5)], (
        "the final value stands at the last step, not at 0"
    )
    assert seen.history("base", "mfu") == [(STEPS + 1, 0.3)]


def test_datasets_are_on_the_runs_that_read_and_wrote_them(seen: Seen) -> None:
    context = "mlflow.data.context"
    full = DIGEST["clean"]
    assert seen.datasets("clean") == [
        ("clean", full[:36], {context: "output", "digest": full}),
        (
            "crawl",
            DIGEST["crawl"][:36],
            {context: "input", "digest": DIGEST["crawl"], "slot": "docs"},
        ),
    ]
    assert seen.datasets("base") == [
        ("clean", full[:36], {context: "input", "digest": full, "slot": "tokens"})
    ]
    assert seen.datasets("report") == [
        ("clean", full[:36], {context: "input", "digest": full, "slot": "held_out,seen"})
    ]
    profile = seen.by_stage["base"].inputs.dataset_inputs[0].dataset.profile
    assert json.loads(profile) == {"num_rows": 7, "bytes": 800}


def test_a_checkpoint_is_a_logged_model_and_the_input_of_who_uses_it(seen: Seen) -> None:
    store = Path(seen.by_stage["clean"].data.params["where"])
    (model,) = seen.models()
    assert (model.name, str(model.status)) == ("base", "READY")
    assert model.source_run_id == seen.by_stage["base"].info.run_id
    assert model.tags["path"] == str(store / "_made" / "base")
    (output,) = seen.by_stage["base"].outputs.model_outputs
    assert (output.model_id, output.step) == (model.model_id, STEPS + 1)
    assert [one.model_id for one in seen.by_stage["report"].inputs.model_inputs] == [model.model_id]


def test_what_was_measured_of_a_model_stands_on_it_with_its_dataset(seen: Seen) -> None:
    (model,) = seen.models()
    assert seen.measured(model) == [
        ("exact_match", 0.25, "clean", "score"),
        ("loss", 0.5, "clean", "base"),
        ("mfu", 0.3, "clean", "base"),
    ]
    assert math.isnan(seen.by_stage["score"].data.metrics["bound"]), "on the run, not as 0 on it"


def test_a_stage_that_was_tried_again_is_one_run_that_remembers(seen: Seen) -> None:
    run = seen.by_stage["score"]
    tags = run.data.tags
    assert (run.info.status, tags["attempt"]) == ("FINISHED", "2")
    assert tags["attempt 1 error"] == "a worker died"
    assert "error" not in tags


def test_a_later_run_that_reuses_a_checkpoint_makes_no_second_model(own: Seen, store: Path) -> None:
    later = Journal(runs_folder(store) / "run-2")
    reused = finish(store, "base", cache="reused", model=True)
    write(later, [started("run-2"), begin("base", {"tokens": "clean"}), reused])
    MlflowMirror(store).sync(later)

    (model,) = Seen(store).models()
    assert model.source_run_id == own.by_stage["base"].info.run_id
    linked = Seen(store).client.search_runs(
        [own.experiment.experiment_id], "tags.run_id = 'run-2' and tags.cache = 'reused'"
    )
    assert [one.model_id for one in linked[0].outputs.model_outputs] == [model.model_id]


def test_what_a_reused_stage_measured_is_told_of_the_model_once(own: Seen, store: Path) -> None:
    (model,) = own.models()
    before = own.measured(model)
    later = Journal(runs_folder(store) / "run-2")
    inputs = {"model": "base", "problems": "clean"}
    again = finish(store, "score", cache="reused", metrics={"exact_match": 0.25})
    write(later, [started("run-2"), begin("score", inputs), again])
    MlflowMirror(store).sync(later)

    (model,) = Seen(store).models()
    assert len(model.metrics) == len(before)
    write(later, [begin("score", inputs), finish(store, "score", metrics={"exact_match": 0.5})])
    MlflowMirror(store).sync(later)
    (model,) = Seen(store).models()
    assert sorted(one.value for one in model.metrics if one.key == "exact_match") == [0.25, 0.5]


def test_metrics_of_stages_side_by_side_keep_apart(store: Path, journal: Journal) -> None:
    def point(stage: str, step: int, value: float) -> Event:
        return Event(kind="metrics", stage=stage, step=step, data={"values": {"loss": value}})

    names = ("base", "clean")
    steps = [point(name, step, step + at) for step in range(50) for at, name in enumerate(names)]
    ends = [finish(store, "clean"), point("base", 50, 50.0), finish(store, "base")]
    write(journal, [started(), *(begin(name, {}) for name in names), *steps, *ends])
    MlflowMirror(store).sync(journal)

    found = Seen(store)
    assert found.history("base", "loss") == [(step, step) for step in range(51)]
    assert found.history("clean", "loss") == [(step, step + 1) for step in range(50)]
