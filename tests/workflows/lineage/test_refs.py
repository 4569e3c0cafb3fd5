"""What a person may call an artifact."""

import json
from pathlib import Path

import pytest

from tests.support.stores import SmallStore, publish, publish_model
from workflows.artifact import Artifact
from workflows.errors import RefError
from workflows.lineage.graph import read_graph
from workflows.lineage.refs import find, find_artifact
from workflows.store.refs import tag


def test_a_stage_is_its_newest_artifact_and_a_digest_picks_another(small: SmallStore) -> None:
    first = small.node("tokens")
    assert find_artifact(small.graph, "tokens") == small.node("tokens", run=1)
    assert find_artifact(small.graph, f"tokens@{first.digest[:10]}") == first


def test_a_name_is_not_the_beginning_of_another_name(tmp_path: Path) -> None:
    publish(tmp_path, "base")
    publish(tmp_path, "base_report")
    assert find_artifact(read_graph(tmp_path), "base").name == "base"
    with pytest.raises(RefError, match="Did you mean 'base"):
        find_artifact(read_graph(tmp_path), "bas")


def test_a_folder_is_named_in_four_ways(small: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    node = small.node("clean", run=1)
    monkeypatch.chdir(small.home)
    relative = f"filter/{node.folder.name}"
    for ref in (node.folder.name, relative, f"store/{relative}", str(node.folder)):
        assert find_artifact(small.graph, ref) == node


def test_a_tag_names_an_artifact(own_small: SmallStore) -> None:
    node = own_small.node("tokens")
    tag(own_small.store, node.load(), "corpus-2026")
    assert find_artifact(own_small.graph, "corpus-2026") == node
    (own_small.store / "secret.json").write_text(json.dumps({"ref": f"tokens/{node.folder.name}"}))
    with pytest.raises(RefError, match="no artifact answers"):
        find_artifact(own_small.graph, "../../secret")


def test_a_source_file_is_named_by_name_path_or_ending(
    small: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small.home)
    for ref in ("a.jsonl", "data/a.jsonl", str(small.home / "data" / "a.jsonl")):
        file = find(small.graph, ref).file
        assert file is not None
        assert file.name == "a.jsonl"
        assert [node.name for node in file.listings] == ["docs"]
    with pytest.raises(RefError, match=r"no artifact answers to 'c\.jsonl' .* no source file"):
        find(small.graph, "c.jsonl")


def test_an_ending_that_two_files_have_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    from pipelines.schemas import LISTING

    row = {"uri": "/x", "format": "text", "bytes": 1, "xxh3_128": "0"}
    rows = [{"name": name, **row, "uri": f"/d/{name}"} for name in ("p/r.txt", "q/r.txt")]
    table = pa.Table.from_pylist(rows, schema=LISTING)
    publish(tmp_path, "docs", "source", "listing", tables={"data": table})
    with pytest.raises(RefError, match=r"2 source files answer to 'r\.txt': p/r\.txt, q/r\.txt"):
        find(read_graph(tmp_path), "r.txt")
    found = find(read_graph(tmp_path), "q/r.txt").file
    assert found is not None
    assert found.uri == "/d/q/r.txt"


@pytest.fixture
def registry(store: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """A registered model whose version is the checkpoint `base`, as the mirror logs it."""
    from mlflow import MlflowClient

    base = publish_model(store, "base")
    # Registering looks for the logged model at the process-wide address, whatever the client's.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store / 'mlflow.db'}")
    client = MlflowClient()
    experiment = client.create_experiment("hand", artifact_location=(store / "_mlflow").as_uri())
    for name, tags in (
        ("talker", {"output": f"base@{base.manifest.digest}", "path": str(base.folder)}),
        ("foreign", {}),
        ("lost", {"output": f"base@{'0' * 64}"}),
    ):
        model = client.create_logged_model(experiment, name=name, tags=tags)
        client.create_registered_model(name)
        client.create_model_version(
            name, f"models:/{model.model_id}", model_id=model.model_id, tags=tags
        )
        client.set_registered_model_alias(name, "champion", "1")
    return base


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's, about SQLAlchemy
def test_a_model_alias_is_resolved_through_mlflow(store: Path, registry: Artifact) -> None:
    graph = read_graph(store)
    for ref in ("models:/talker@champion", "models:/talker/1"):
        assert find_artifact(graph, ref).digest == registry.manifest.digest
    for ref, message in (
        ("models:/talker@challenger", "no registered model answers to models:/talker@challenger"),
        ("models:/nobody@champion", "no registered model answers to models:/nobody@champion"),
        ("models:/foreign@champion", "by something else than `llada promote`"),
        ("models:/lost@champion", "is base@000000000000, which is not in"),
        ("models:/talker", "write models:/NAME@ALIAS or models:/NAME/VERSION"),
    ):
        with pytest.raises(RefError, match=message):
            find_artifact(graph, ref)


def test_an_alias_where_nothing_was_tracked(small: SmallStore) -> None:
    with pytest.raises(RefError, match="nothing was tracked yet"):
        find_artifact(small.graph, "models:/talker@champion")
    assert not (small.store / "mlflow.db").exists()
