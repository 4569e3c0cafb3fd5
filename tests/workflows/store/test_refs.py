"""Tags and pins: created once, moved on request, found by name, gone when told."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from workflows.artifact import load
from workflows.cli import cli
from workflows.errors import RefError, UsageError
from workflows.lineage.refs import resolve
from workflows.store import refs


def test_a_tag_names_an_artifact_and_is_found_by_resolve(store: Path) -> None:
    text, clean = resolve(store, "text"), resolve(store, "clean")
    made = refs.tag(store, text, "corpus-en.2026", note="first")
    payload = json.loads((store / "_refs/tags/corpus-en.2026.json").read_text())
    assert set(payload) == {"ref", "name", "kind", "digest", "created", "note"}
    assert payload["ref"] == text.folder.relative_to(store).as_posix()
    assert resolve(store, "corpus-en.2026").folder == text.folder != clean.folder
    assert refs.tags(store) == {"corpus-en.2026": made}


def test_a_tag_moves_only_on_request(store: Path) -> None:
    text, clean = resolve(store, "text"), resolve(store, "clean")
    refs.tag(store, text, "v1")
    assert refs.tag(store, text, "v1").name == "text"
    with pytest.raises(UsageError, match=r"'v1' points to text@\w{12} .*--move"):
        refs.tag(store, clean, "v1")
    assert resolve(store, "v1").folder == text.folder
    refs.tag(store, clean, "v1", move=True)
    assert resolve(store, "v1").folder == clean.folder


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "../x", "-x", ".x", "a b", "ä", "a@b", "x" * 101]
)
def test_a_name_that_is_none_is_refused(store: Path, name: str) -> None:
    with pytest.raises(UsageError, match="allowed: at most 100 letters"):
        refs.tag(store, resolve(store, "text"), name)
    assert not (store / "_refs").exists()


def test_a_tag_whose_artifact_is_gone_says_so(store: Path) -> None:
    clean = resolve(store, "clean")
    refs.tag(store, clean, "v1")
    shutil.rmtree(clean.folder)
    with pytest.raises(RefError, match=r"points to clean@.* is gone.*--move"):
        resolve(store, "v1")
    with pytest.raises(RefError, match=r"removed from .* a moment ago"):
        refs.tag(store, clean, "v2")
    assert set(refs.tags(store)) == {"v1"}


def test_deleting_takes_the_name_and_leaves_the_artifact(store: Path) -> None:
    text = resolve(store, "text")
    refs.tag(store, text, "v1")
    refs.pin(store, text, note="keep")
    assert list(refs.pins(store)) == [text.folder.name]
    refs.delete_tag(store, "v1")
    refs.unpin(store, text)
    assert (refs.tags(store), refs.pins(store)) == ({}, {})
    assert load(text.folder) == text
    with pytest.raises(RefError, match="no tag 'v1'"):
        refs.delete_tag(store, "v1")
    with pytest.raises(RefError, match="is not pinned"):
        refs.unpin(store, text)


def test_a_stage_name_is_not_the_beginning_of_another(store: Path) -> None:
    other = resolve(store, "text").folder
    later = other.with_name(f"text_report-{other.name.rpartition('-')[2]}")
    shutil.copytree(other, later)
    manifest = json.loads((later / "manifest.json").read_text())
    manifest |= {"name": "text_report", "created": "2999-01-01T00:00:00.000000Z"}
    (later / "manifest.json").write_text(json.dumps(manifest))
    assert resolve(store, "text").folder == other
    assert resolve(store, "text_report").folder == later


def test_the_verbs(store: Path) -> None:
    def told(*arguments: str) -> str:
        done = CliRunner().invoke(cli, [*arguments, "--store", str(store)])
        if done.exception is not None:
            raise done.exception
        return done.output

    assert "v1 -> text@" in told("tag", "text", "v1")
    assert "v1" in told("tag", "--list")
    with pytest.raises(UsageError, match="a stage is called 'clean'"):
        told("tag", "text", "clean")
    told("pin", "v1", "--note", "x")
    assert [one["name"] for one in json.loads(told("pin", "--list", "--json")).values()] == ["text"]
    told("unpin", "v1")
    told("tag", "--delete", "v1")
    assert json.loads(told("tag", "--list", "--json")) == {}
    for wrong in (["tag"], ["tag", "text"], ["pin"], ["tag", "text", "v", "--list"]):
        with pytest.raises(UsageError):
            told(*wrong)
