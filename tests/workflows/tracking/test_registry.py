"""Promoting a checkpoint and finding it again by its alias; the verbs sync, promote and models."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.ledger import Count, Ledger
from tests.support.commands import llada
from tests.support.journals import DIGEST, Seen, started, whole_run, write
from tests.support.mlflow_server import TrackingServer
from workflows import artifact as artifacts
from workflows.artifact import Artifact, Manifest
from workflows.errors import RefError, TrackingError, UsageError
from workflows.journal import Journal, runs_folder
from workflows.tracking import registry
from workflows.tracking.drain import sync
from workflows.tracking.mirror import MlflowMirror

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


RECIPE = "registry"
"""Experiments of one server are told apart by it."""


def _publish(store: Path, name: str, makes: str, digest: str | None = None) -> Artifact:
    count = Count(rows=1)
    manifest = Manifest(
        name=name, kind=f"{name}-kind", makes=makes, key="k" * 16, digest=digest or DIGEST[name],
        config={}, inputs={}, files=(), schema_text="", metrics={}, info={}, version=1,
        ledger=Ledger(unit="steps", entered=count, kept=count), code_policy="pin", code_hash="c",
        code_parts={}, commit=None, dirty_diff=None, packages={}, created=artifacts.now(),
        seconds=1.0, run_id="run-1", recipe=RECIPE,
    )  # fmt: skip
    return artifacts.publish(store / manifest.kind / f"{name}-{manifest.digest[:12]}", manifest)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def tracked(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Path, str]:
    """A store whose runs MLflow has, and where MLflow is."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    if request.param == "sqlite":
        shutil.copy(empty_database, tmp_path / "mlflow.db")
    else:
        server: TrackingServer = request.getfixturevalue("tracking_server")
        uri = server.uri
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    write(Journal(runs_folder(tmp_path) / "run-1"), whole_run(tmp_path, RECIPE))
    assert [one.problem for one in sync(tmp_path)] == [None]
    return tmp_path, uri


def test_an_alias_leads_to_the_artifact(tracked: tuple[Path, str]) -> None:
    store, uri = tracked
    base = _publish(store, "base", "model")
    first = registry.promote(base, store, "talker", "champion")
    again = registry.promote(base, store, "talker", "candidate")

    assert (first.name, first.version) == ("talker", 1)
    assert again.version == 1, "the same artifact is the same version"
    assert [(one.name, one.version, one.aliases) for one in registry.registered(uri)] == [
        ("talker", 1, ("candidate", "champion"))
    ]
    expected = (f"base@{DIGEST['base']}", str(base.folder))
    assert registry.resolve_alias("models:/talker@champion", uri) == expected
    assert registry.resolve_alias("models:/talker/1", uri) == expected
    with pytest.raises(RefError, match="there is models:/talker@candidate, models:/talker@champ"):
        registry.resolve_alias("models:/talker@winner", uri)

    seen = Seen(uri, RECIPE)
    version = seen.client.get_model_version_by_alias("talker", "champion")
    (model,) = seen.models()
    assert version.tags["model_id"] == model.model_id
    (link,) = json.loads(model.tags["mlflow.modelVersions"])
    assert (link["name"], int(link["version"])) == ("talker", 1)
    assert version.run_id in {one.info.run_id for one in seen.runs}


def test_an_alias_moves_to_the_next_artifact(store: Path, own: Seen) -> None:
    registry.promote(_publish(store, "base", "model"), store, "talker", "champion")
    other = _publish(store, "base", "model", digest="f" * 64)
    with pytest.raises(TrackingError, match="llada sync"):
        registry.promote(other, store, "talker", "champion")
    run = Journal(runs_folder(store) / "run-2")
    events = [e for e in whole_run(store) if e.kind != "metrics"]
    text = "".join(e.model_dump_json() + "\n" for e in [started("run-2"), *events[1:]])
    run.path.parent.mkdir(parents=True)
    run.path.write_text(text.replace(DIGEST["base"], "f" * 64))
    assert MlflowMirror(store).sync(run).problem is None
    second = registry.promote(other, store, "talker", "champion")

    assert second.version == 2
    assert second.aliases == ("champion",)
    found = registry.registered(own.uri)
    assert [(one.version, one.aliases) for one in found] == [(2, ("champion",)), (1, ())]


def test_what_is_no_model_is_refused(store: Path, own: Seen) -> None:
    _publish(store, "base", "model")
    with pytest.raises(UsageError, match=r"holds documents; only models .* this store has base"):
        registry.promote(_publish(store, "clean", "documents"), store, "talker", "champion")


@pytest.mark.parametrize(
    "text", ["talker", "@x", "a@", "a@v1", "a@7", "a@latest", "a/b@c", "a@b@c"]
)
def test_a_release_is_a_name_and_an_alias(text: str) -> None:
    with pytest.raises(UsageError, match="write NAME@ALIAS"):
        registry.split_release(text)
    assert registry.split_release("demo 2.b@champion-1") == ("demo 2.b", "champion-1")


def _json(*arguments: str | Path, cwd: Path, check: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(llada(*arguments, "--json", cwd=cwd, check=check).stdout)
    return found


@pytest.mark.slow
def test_the_verbs(store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    write(journal, whole_run(store))
    _publish(store, "base", "model")
    damaged = Journal(runs_folder(store) / "run-0")
    damaged.path.parent.mkdir(parents=True)
    damaged.path.write_text("nothing\n")

    done = llada("sync", "--store", store, cwd=store, check=1)
    assert f"run-1  {len(list(journal.events())):,} events sent" in done.stdout
    assert "run-0" in done.stdout
    assert "1 of 2 runs are not whole in MLflow" in done.stderr
    left = _json("sync", "--store", store, cwd=store, check=1)
    assert [(one["run"], one["mirrored"]) for one in left["runs"]] == [("run-0", 0)]
    assert "Remove the folder" in left["runs"][0]["problem"]
    shutil.rmtree(damaged.folder)
    assert _json("sync", "--store", store, cwd=store)["left"] == 0

    done = llada("promote", "base", "--as", "demo@champion", "--store", store, cwd=store)
    assert done.stdout == f"models:/demo@champion is version 1: base@{DIGEST['base']}\n"
    (row,) = _json("models", "--store", store, cwd=store)["models"]
    assert (row["name"], row["aliases"]) == ("demo", ["champion"])
    llada("promote", "base", "--as", "demo", "--store", store, cwd=store, check=2)


@pytest.mark.slow
def test_an_outage_of_the_server_in_the_middle_is_made_up_for(
    store: Path,
    journal: Journal,
    tracking_server: TrackingServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_server.uri)
    events = whole_run(store, "outage")
    write(journal, events[:700])
    assert [one.problem for one in sync(store)] == [None]
    tracking_server.stop()
    write(journal, events[700:])
    (down,) = sync(store)
    assert "it does not answer" in (down.problem or "")
    assert down.mirrored == 0
    tracking_server.start()
    (up,) = sync(store)

    assert (up.mirrored, up.problem) == (len(events) - 700, None)
    found = Seen(tracking_server.uri, "outage")
    assert {stage: run.info.status for stage, run in found.by_stage.items()} == {
        None: "FAILED", "crawl": "FINISHED", "clean": "FINISHED", "base": "FINISHED",
        "score": "FINISHED", "report": "FAILED",
    }  # fmt: skip
    assert len(found.history("base", "loss")) == 1102
    assert len(found.models()) == 1
