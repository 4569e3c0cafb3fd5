"""Made again from manifests: the same where it is, and the reason where it is not."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.executors import InProcess
from tests.support.commands import llada
from tests.support.documents import write_jsonl
from tests.support.stores import SmallStore, build_small_store, run_recipe
from workflows.artifact import MANIFEST, Manifest
from workflows.errors import RefError, WorkflowError
from workflows.lineage.checkout import code_of
from workflows.lineage.graph import read_graph
from workflows.lineage.reproduce import (
    in_process,
    reproduce,
    reproduction_json,
    reproduction_text,
)

HERE = in_process(InProcess())


def never(_recipe: Path, _code: Path) -> None:
    raise AssertionError("nothing was to be built")


def test_every_stage_is_made_again_with_the_same_content(small: SmallStore, tmp_path: Path) -> None:
    found = reproduce(small.graph, small.node("tokens"), tmp_path / "again", HERE)
    assert found.same
    assert [stage.name for stage in found.stages] == [
        "docs", "text", "clean", "unique", "bpe", "tokens",
    ]  # fmt: skip
    assert all(stage.now is not None for stage in found.stages)
    assert "6 of 6 stages hold the same content" in reproduction_text(found)


def test_the_recipe_holds_the_exact_configs_of_that_run(small: SmallStore, tmp_path: Path) -> None:
    """The second run was made with settings that no recipe file has."""
    node = small.node("clean", run=1)
    found = reproduce(small.graph, node, tmp_path / "again", HERE)
    assert found.same
    assert node.digest != small.node("clean").digest
    recipe = yaml.safe_load(found.recipe_file.read_text())
    assert recipe["stages"]["clean"]["config"] == dict(node.load().manifest.config)
    assert recipe["stages"]["clean"]["needs"] == {"documents": "text"}
    assert "unique" not in recipe["stages"]


def test_another_content_is_told_from_the_same(small: SmallStore, tmp_path: Path) -> None:
    def with_another_tokenizer(recipe_file: Path, code: Path) -> None:
        recipe = yaml.safe_load(recipe_file.read_text())
        recipe["stages"]["bpe"]["config"]["vocab_size"] = 380
        recipe_file.write_text(yaml.safe_dump(recipe))
        HERE(recipe_file, code)

    node = small.node("tokens")
    found = reproduce(small.graph, node, tmp_path / "again", with_another_tokenizer)
    assert not found.same
    same = {stage.name: stage.same for stage in found.stages}
    assert same == {n: n not in ("bpe", "tokens") for n in same}
    told = reproduction_text(found)
    assert "4 of 6 stages" in told
    assert "other input" in told
    assert reproduction_json(found)["same"] is False


def test_a_run_that_fails_says_how_far_it_came(small: SmallStore, tmp_path: Path) -> None:
    def dies(recipe_file: Path, code: Path) -> None:
        raise WorkflowError("exit code 1")

    found = reproduce(small.graph, small.node("text"), tmp_path / "again", dies)
    assert not found.same
    assert "did not reach its end: exit code 1" in reproduction_text(found)
    assert [row["now"] for row in reproduction_json(found)["stages"]] == [None, None]


def test_packages_that_differ_are_named(own_small: SmallStore, tmp_path: Path) -> None:
    path = own_small.node("docs").folder / MANIFEST
    old = json.loads(path.read_text())
    path.write_text(json.dumps(old | {"packages": old["packages"] | {"pyarrow": "1.0"}}))
    found = reproduce(own_small.graph, own_small.node("docs"), tmp_path / "again", HERE)
    assert found.packages["pyarrow"] == ("1.0", old["packages"]["pyarrow"])


@pytest.fixture
def project(tmp_path: Path) -> SmallStore:
    """A store of our own whose sources may be changed."""
    return build_small_store(tmp_path)


def test_source_files_that_changed_are_named_before_anything_runs(project: SmallStore) -> None:
    data = project.home / "data"
    (data / "a.jsonl").write_text((data / "a.jsonl").read_text().replace("Report", "report"))
    (data / "one-3.jsonl").unlink()
    shutil.copy(data / "b.jsonl", data / "c.jsonl")
    with pytest.raises(WorkflowError) as caught:
        reproduce(project.graph, project.node("tokens"), project.home / "again", never)
    for said in ("one-3.jsonl is gone", "c.jsonl is new", "a.jsonl has other content"):
        assert said in str(caught.value)
    assert "b.jsonl has" not in str(caught.value)


def test_a_store_with_artifacts_would_prove_nothing(small: SmallStore) -> None:
    with pytest.raises(RefError, match="which a run would reuse"):
        reproduce(small.graph, small.node("docs"), small.store, never)


def test_a_removed_input_cannot_be_made_again(own_small: SmallStore, tmp_path: Path) -> None:
    shutil.rmtree(own_small.node("text").folder)
    with pytest.raises(RefError, match=r"its input documents, text@.* was removed"):
        reproduce(own_small.graph, own_small.node("clean"), tmp_path / "again", never)


def manifest(small: SmallStore, **values: Any) -> Manifest:
    return small.node("docs").load().manifest.model_copy(update=values)


def test_code_that_was_never_committed_is_refused(small: SmallStore) -> None:
    dirty = manifest(small, dirty_diff="another change")
    with (
        pytest.raises(WorkflowError, match=r"docs was made with uncommitted changes.*--anyway"),
        code_of([dirty], anyway=False),
    ):
        pass
    nowhere = manifest(small, commit=None)
    with (
        pytest.raises(WorkflowError, match="made outside a git checkout"),
        code_of([nowhere], anyway=False),
    ):
        pass


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, str]:
    """A checkout whose first commit says 'old' and whose second says 'new'."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    commits = []
    for said in ("old", "new"):
        (tmp_path / "code.txt").write_text(said)
        subprocess.run([*git, "add", "code.txt"], check=True)
        subprocess.run([*git, "commit", "-qm", said], check=True)
        done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True)
        commits.append(done.stdout.decode().strip())
    return tmp_path, commits[0]


def test_the_code_of_a_commit_is_checked_out_for_a_while(
    small: SmallStore, repository: tuple[Path, str]
) -> None:
    project, commit = repository
    with code_of([manifest(small, commit=commit)], anyway=True, project=project) as code:
        assert (code / "code.txt").read_text() == "old"
        assert (project / "code.txt").read_text() == "new"
    assert not code.exists()
    listed = subprocess.run(
        ["git", "-C", str(project), "worktree", "list"], check=True, capture_output=True
    )
    assert len(listed.stdout.splitlines()) == 1
    with (
        pytest.raises(WorkflowError, match="cannot check out the commit 000000000000"),
        code_of([manifest(small, commit="0" * 40)], anyway=True, project=project),
    ):
        pass


def test_the_command_ends_with_0_when_all_is_the_same(
    small: SmallStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from workflows.cli.artifacts import reproduce as verb
    from workflows.lineage import reproduce as module

    monkeypatch.setattr(module, "in_subprocess", HERE)  # the seam: another way to run a recipe
    into = tmp_path / "again"
    arguments = ["clean", "--json", "--store", str(small.store), "--into", str(into)]
    done = CliRunner().invoke(verb, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["same"] is True
    assert (into / "filter").is_dir()


def test_the_command_runs_in_a_process_of_its_own_and_ends_with_1_when_it_differs(
    own_small: SmallStore,
) -> None:
    path = own_small.node("docs").folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "0" * 64}))
    arguments = ("reproduce", "docs", "--anyway", "--store", own_small.store)
    done = llada(*arguments, cwd=Path.cwd(), check=1)
    assert "0 of 1 stages hold the same content" in done.stdout
    assert "docs           DONE" in done.stderr  # what the run itself says


@pytest.mark.parametrize("pattern", ["data/*.jsonl", "data", "data/a.jsonl"])
def test_relative_sources_are_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    write_jsonl(tmp_path / "data" / "a.jsonl", 2)
    recipe = tmp_path / "r.yaml"
    stages = {"docs": {"kind": "source", "config": {"paths": [pattern]}}}
    recipe.write_text(
        yaml.safe_dump({"name": "r", "store": str(tmp_path / "store"), "stages": stages})
    )
    run_recipe(recipe)
    monkeypatch.chdir(tmp_path / "elsewhere")
    graph = read_graph(tmp_path / "store")
    assert reproduce(graph, graph.nodes[0], tmp_path / "again", HERE).same
