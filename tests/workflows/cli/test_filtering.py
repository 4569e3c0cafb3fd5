"""`llada filter` on a folder: results, a changed limit, a what-if, and every wrong use told."""

import json
from pathlib import Path

import pytest

from pipelines.storage import at
from tests.support.commands import llada
from tests.support.documents import write_jsonl

RULES = "name: mine\nrules: [{name: long_text, feature: characters, above: 535}]\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "empty").mkdir()
    write_jsonl(tmp_path / "in" / "a.jsonl", 12)
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "broken.yaml").write_text("rules: [{name: a, feature: digts, above: 1}]\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "o"], 2, "name files, folders or patterns before --out"),
        (["in"], 2, "Missing option '--out'"),
        (["nowhere", "--out", "o"], 1, "nowhere"),
        (["empty", "--out", "o"], 1, "no file to read"),
        (["in", "--out", "o", "--rules", "gofer"], 2, "did you mean 'gopher'"),
        (["in", "--out", "o", "--limit", "gopher_short_doc"], 2, "--limit gopher_short_doc=20"),
        (["in", "--out", "o", "--limit", "gopher_shrt_doc=3"], 2, "mean 'gopher_short_doc'"),
        (["in", "--out", "o", "--dedup", "fuzzy"], 2, "'none', 'exact', 'minhash'"),
        (["in", "--out", "o", "--rules", "broken.yaml"], 2, "broken.yaml:1: rules.0"),
        (["--out", "o", "--rejudge", "--limit", "gopher_short_doc=3"], 2, "no filtered documents"),
        (["--out", "o", "--rejudge", "--limit", "a=3", "--words", "spacy"], 2, "--words asks for"),
        (["in", "--out", "o", "--rejudge"], 2, "leave the inputs away"),
        (["in", "--out", "in/a.jsonl"], 1, "a.jsonl"),
        (["in", "--out", "in/out"], 2, "lies within the input in"),
        (["in", "."], 2, "Missing option '--out'"),
        (["in", "--out", "gs://bucket/o"], 1, "allowed are local disks"),
        (["--preview", "5"], 2, "nothing to preview"),
        (["in", "--preview", "5", "--rejudge"], 2, "choose one"),
        (["in", "--preview", "5", "--rules", "gofer"], 2, "did you mean 'gopher'"),
        (["in", "--preview", "5", "--min-language-score", "2"], 2, "--min-language-score Input"),
        (["in", "--preview", "5", "--limit", "gopher_short_doc=-1"], 2, "never fires"),
        (["in", "--out", "o", "--limit", "gopher_long_doc=-1"], 2, "always fires"),
        (["nowhere", "--preview", "5"], 1, "nowhere"),
        (["in", "--out", "o", "--languages", "en,deu"], 2, "did you mean 'de'"),
        (["in", "--preview", "5", "--languages", "english"], 2, "write its ISO 639 code"),
        (["ftp://host/a.txt", "--out", "o"], 2, "allowed: s3://"),
    ],
)  # fmt: skip
def test_wrong_use_is_told_in_a_sentence(
    project: Path, arguments: list[str], code: int, message: str
) -> None:
    done = llada("filter", *arguments, cwd=project, check=code)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_preview_writes_nothing(project: Path) -> None:
    before = sorted(project.rglob("*"))
    job = ["filter", "in", "--preview", "5", "--min-language-score", "0.1"]
    told = json.loads(llada(*job, "--json", cwd=project).stdout)
    assert told["documents"] == 5 == told["kept"] + sum(rule["reason"] for rule in told["rules"])
    assert sorted(project.rglob("*")) == before


def test_a_password_in_an_address_is_neither_shown_nor_written_down(project: Path) -> None:
    done = llada("filter", "s3://me:pass-word-1@bucket/x", "--out", "o", cwd=project, check=2)
    assert "found credentials in an address of s3://" in done.stderr
    assert "pass-word-1" not in done.stdout + done.stderr
    assert not (project / "o").exists()


@pytest.mark.ray
@pytest.mark.slow
def test_a_folder_is_filtered_and_only_what_changed_runs_again(project: Path) -> None:
    job = ["filter", "in", "--out", "out", "--min-language-score", "0.1", "--rules"]
    first = llada(*job, "gopher", "--json", cwd=project)
    told = json.loads(first.stdout)
    documents = told["documents"]
    assert told["kept"] + sum(rule["reason"] for rule in told["rules"]) == documents > 10
    assert f"DONE    {documents} documents in" in first.stderr

    second = llada(*job, "gopher,rules.yaml", cwd=project)
    assert "text           REUSED" in second.stderr
    assert "clean          RUN     config." in second.stderr
    assert "long_text" in second.stdout
    assert "FUNNEL" in second.stdout

    what_if = llada(
        "filter", "--out", "out", "--rejudge", "--limit", "long_text=9999", cwd=project
    ).stdout
    assert f"kept {told['kept']} of {documents} documents" in what_if
    assert "nothing was changed" in what_if
    nothing = llada(*job, "gopher", "--limit", "gopher_short_doc=5000", cwd=project).stdout
    assert "no document is worth keeping by these rules" in nothing
    back = llada(
        "filter", "--out", "out", "--rejudge", "--limit", "gopher_short_doc=50", cwd=project
    )
    assert f"kept {told['kept']} of {documents}" in back.stdout
    assert "against the 0 kept now" in back.stdout
    assert "clean          REUSED" in llada("run", "out/filter.yaml", cwd=project).stderr


@pytest.mark.ray
@pytest.mark.slow
def test_results_go_to_a_bucket_and_the_recipe_with_them(project: Path, s3_store: str) -> None:
    job = ["filter", "in", "--out", s3_store, "--min-language-score", "0.1", "--rules", "gopher"]
    done = llada(*job, cwd=project)
    assert f"report: {s3_store}/report.html" in done.stdout
    store = at(s3_store)
    assert (store / "report.html").read_bytes().startswith(b"<!doctype html>")
    assert sorted(path.name for path in project.iterdir()) == [
        "broken.yaml", "cache", "empty", "in", "rules.yaml",
    ]  # fmt: skip

    rejudge = ["filter", "--out", s3_store, "--rejudge", "--limit", "gopher_short_doc=5000"]
    assert "kept 0 of" in llada(*rejudge, cwd=project).stdout
    plan = llada("plan", f"{s3_store}/filter.yaml", "--json", cwd=project)
    actions = [stage["verdict"] for stage in json.loads(plan.stdout)["stages"]]
    assert actions == ["REUSE"] * 3
    again = llada("run", f"{s3_store}/filter.yaml", cwd=project)
    assert "3 reused" in again.stdout
    missing = llada("plan", f"{s3_store}/filtr.yaml", cwd=project, check=2)
    assert f"{s3_store}/filtr.yaml: no such recipe" in missing.stderr
