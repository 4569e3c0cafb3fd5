"""A recipe holds references to secrets only, and a run leaves no secret in the store."""

import os
from pathlib import Path

import pytest

from tests.support.commands import llada
from tests.support.documents import write_jsonl
from workflows.errors import RecipeError
from workflows.recipe import load_recipe

TOKEN = "hf_" + "abcdefghijklmnopqrstuvwxyz"
RECIPE = """\
name: small
store: ./store
stages:
  docs:
    kind: source
    config:
      paths: [data]
"""


@pytest.mark.parametrize(
    ("find", "replace", "where"),
    [
        ("[data]", f"[data, {TOKEN}]", r"recipe\.yaml:7: stages\.docs\.config\.paths\.1: "),
        ("./store", "s3://me:" + "hunter2x@bucket", r"recipe\.yaml:2: store: "),
        ("paths:", f"{TOKEN}: 1\n      paths:", r"recipe\.yaml:6: stages\.docs\.config: "),
    ],
)
def test_a_credential_in_a_recipe_is_refused_and_not_shown(
    tmp_path: Path, find: str, replace: str, where: str
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace(find, replace))
    with pytest.raises(RecipeError, match=where + "found an? .*write env:NAME") as caught:
        load_recipe(path)
    assert TOKEN not in str(caught.value)
    assert "hunter2x" not in str(caught.value)


@pytest.mark.parametrize("key", ["docs.format", "nowhere.format", "noperiod"])
def test_a_credential_in_a_setting_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    with pytest.raises(RecipeError, match="write env:NAME") as caught:
        load_recipe(path, {key: TOKEN})
    assert TOKEN not in str(caught.value)


@pytest.mark.slow
def test_a_run_records_no_value_of_a_secret_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DEPLOY_PASSWORD", "correct-horse")
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "a.jsonl", 3)
    (tmp_path / "correct-horse.yaml").write_text(RECIPE)
    llada("run", "correct-horse.yaml", cwd=tmp_path)
    store = tmp_path / "store"
    llada("sync", "--store", store, cwd=tmp_path)  # MLflow is written behind the run's back
    (journal,) = store.glob("_runs/*/events.jsonl")
    assert '"command":"llada run $DEPLOY_PASSWORD.yaml"' in journal.read_text()
    files = [Path(at) / name for at, _, names in os.walk(store) for name in names]
    assert store / "mlflow.db" in files
    assert [path for path in files if b"correct-horse" in path.read_bytes()] == []
