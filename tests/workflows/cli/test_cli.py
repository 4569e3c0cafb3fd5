"""What a person meets when something is wrong: the exit code, one sentence, no traceback."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import llada
from tests.support.documents import write_jsonl

RECIPE = """\
name: tiny
store: ./store
stages:
  docs: {kind: source, config: {paths: [data]}}
  text: {kind: extract, needs: docs}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "a.jsonl", 3)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "tiny.yaml", "--unitl", "docs"], 2, "No such option"),
        (["run", "none.yaml"], 2, "none.yaml: no such recipe"),
        (["run", "tiny.yaml", "--until", "txt"], 2, "Did you mean 'text'?"),
        (["run", "tiny.yaml", "--force", "dcos"], 2, "Did you mean 'docs'?"),
        (["plan", "tiny.yaml", "--set", "text"], 2, "--set STAGE.KEY=VALUE"),
        (["plan", "tiny.yaml", "--set", "text.min_charcters=3"], 2, "'min_characters'"),
        (["plan", "tiny.yaml", "--set", "docs.paths=[nowhere]"], 1, "nowhere"),
        (["show", "text", "--store", "store"], 2, "it is empty: run a recipe first"),
        (["lineage", "text", "--store", "store"], 2, "no artifact answers to 'text'"),
        (["explain", "abc", "--store", "store"], 2, "store holds no artifacts"),
        (["generate", "--prompt", "x", "--store", "store"], 2, "no trained model in"),
        (["show", "x", "--store", "gs://bucket"], 1, "found the scheme 'gs://'"),
        (["lineage", "text", "--store", ""], 1, "store: found no name; write a folder"),
        (["run", "tiny.yaml", "--store", "tiny.yaml"], 1, "tiny.yaml is a file; name a folder"),
        (["sync", "--store", "tiny.yaml/below"], 1, "tiny.yaml is a file; name a folder"),
        (["sync", "--store", "store"], 2, "there is no store at "),
        (
            ["plan", "tiny.yaml", "--set", "text.resources.timeout=.inf"],
            2,
            "text.resources.timeout",
        ),
        (["plan", "tiny.yaml", "--set", "text.resources.cpus_per_worker=.inf"], 2, "finite"),
        (["run", "tiny.yaml", "--set", "text.resources.gpus_per_worker=99"], 2,
         "stage 'text' cannot start: a worker needs 99 GPUs, and this machine has "),
        (["run", "tiny.yaml", "--set", "text.resources.memory_gb_per_worker=1e9"], 2,
         "a worker needs 1e+09 GB of memory"),
        (["frobnicate"], 2, "No such command"),
    ],
)  # fmt: skip
def test_wrong_usage_is_explained(
    project: Path, arguments: list[str], code: int, message: str
) -> None:
    done = llada(*arguments, cwd=project, check=code)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "store").exists()


def test_an_empty_corpus_is_refused(project: Path) -> None:
    for path in (project / "data").iterdir():
        path.unlink()
    done = llada("run", "tiny.yaml", cwd=project, check=1)
    assert "no file to read in data" in done.stderr


def test_plan_json_has_the_promised_fields(project: Path) -> None:
    rows = json.loads(llada("plan", "tiny.yaml", "--json", cwd=project).stdout)["stages"]
    assert [set(row) for row in rows] == [{"name", "kind", "verdict", "why", "key"}] * 2
    assert [row["verdict"] for row in rows] == ["RUN", "RUN"]


def test_a_plan_can_speak_by_its_exit_code(project: Path) -> None:
    llada("plan", "tiny.yaml", "--exit-code", cwd=project, check=2)
    llada("plan", "tiny.yaml", cwd=project, check=0)
    llada("run", "tiny.yaml", cwd=project)
    llada("plan", "tiny.yaml", "--exit-code", cwd=project, check=0)
    llada("plan", "tiny.yaml", "--exit-code", "--store", "other", cwd=project, check=2)
    told = llada("plan", "tiny.yaml", "--exit-code", "--json", cwd=project).stdout
    assert json.loads(told)["estimates"]["total"]["stages"] == 0


def test_help_names_every_command(project: Path) -> None:
    told = llada("--help", cwd=project).stdout
    for command in ("plan", "run", "status", "show", "lineage", "explain", "generate"):
        assert f"  {command} " in told


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root; a full disk cannot be made here")
    yield disk
    # Lazily: the process that mirrors to MLflow may still hold its log there.
    subprocess.run(["umount", "--lazy", str(disk)], capture_output=True, check=True)


def test_a_full_disk_is_named_and_nothing_is_published(project: Path, full_disk: Path) -> None:
    write_jsonl(project / "data" / "many.jsonl", 2000)
    recipe = (project / "tiny.yaml").read_text().replace("./store", str(full_disk / "store"))
    (project / "tiny.yaml").write_text(recipe.replace("[data]", "[data/a.jsonl, data/many.jsonl]"))
    filler = full_disk / "filler"
    filler.write_bytes(b"x" * (12 << 10))
    done = llada("run", "tiny.yaml", cwd=project, check=1)
    assert "no space left" in done.stderr
    assert "Free some space" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(full_disk.glob("store/extract/*/manifest.json"))
