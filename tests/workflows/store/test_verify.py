"""Every kind of damage is named, with the command that repairs it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import llada
from workflows.artifact import Artifact, all_artifacts
from workflows.lineage.refs import resolve
from workflows.store.verify import Verification, verify, with_ancestors


def _verify(store: Path, ref: str = "clean") -> Verification:
    return verify(with_ancestors(resolve(store, ref), store), store)


def _data(artifact: Artifact) -> Path:
    entry = next(e for e in artifact.manifest.files if e.role == "data")
    return artifact.folder / entry.path


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_a_sound_artifact_and_its_ancestors_pass(store: Path) -> None:
    result = _verify(store)
    assert [one.artifact.manifest.name for one in result.artifacts] == ["clean", "text", "docs"]
    assert result.damaged == ()
    promised = sum(e.bytes for one in result.artifacts for e in one.artifact.manifest.files)
    assert result.bytes == promised > 0


@pytest.mark.parametrize(
    ("damage", "said"),
    [(_flip, "other hash: "), (_cut, "other size: "), (Path.unlink, "missing: ")],
)
def test_damage_to_an_ancestor_is_found_and_can_be_repaired(
    store: Path, damage: Callable[[Path], None], said: str
) -> None:
    text = resolve(store, "text")
    damage(_data(text))
    (bad,) = _verify(store).damaged
    assert bad.artifact.folder == text.folder
    assert len(bad.problems) == 1
    assert bad.problems[0].startswith(said + _data(text).relative_to(text.folder).as_posix())
    assert bad.remedy.startswith("llada run ")
    assert bad.remedy.endswith("small.yaml --force text")


def test_a_changed_manifest_is_found(store: Path) -> None:
    clean = resolve(store, "clean")
    path = clean.folder / "manifest.json"
    payload = json.loads(path.read_text())
    next(e for e in payload["files"] if e["role"] == "data")["rows"] += 1
    path.write_text(json.dumps(payload))
    (bad,) = _verify(store).damaged
    assert bad.problems[0].startswith("the manifest was changed")


def test_an_input_that_is_gone_or_another_is_named(store: Path) -> None:
    clean, text = resolve(store, "clean"), resolve(store, "text")
    path = text.folder / "manifest.json"
    path.write_text(path.read_text().replace(text.manifest.digest, "0" * 64))
    problems = [p for one in _verify(store).damaged for p in one.problems]
    assert any(p.startswith("input changed: documents was text@") for p in problems)
    shutil.rmtree(text.folder)
    (bad,) = _verify(store).damaged
    assert bad.artifact.folder == clean.folder
    assert bad.problems[0].startswith("input gone: documents was text@")


def test_progress_ends_at_the_promised_bytes(store: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = verify(
        list(all_artifacts(store)), store, progress=lambda done, total: seen.append((done, total))
    )
    assert len(result.artifacts) == 4
    assert seen[-1] == (result.bytes, result.bytes)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_the_verb_exits_with_1_and_tells_machines(store: Path) -> None:
    assert "4 artifacts, 0 damaged" in llada("verify", "--all", "--store", store, cwd=store).stdout
    _flip(_data(resolve(store, "text")))
    done = llada("verify", "clean", "--json", "--store", store, cwd=store, check=1)
    told = json.loads(done.stdout)
    assert not told["ok"]
    assert [row["name"] for row in told["artifacts"] if not row["ok"]] == ["text"]


def test_a_torn_manifest_is_damage_among_others(store: Path) -> None:
    text = resolve(store, "text")
    path = text.folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:300])
    done = llada("verify", "--all", "--store", store, cwd=store, check=1)
    assert f"DAMAGED  {path}: not a manifest this version reads (Invalid JSON" in done.stdout
    assert "input unreadable: documents was text@" in done.stdout
    assert "ok       docs@" in done.stdout
    assert "4 artifacts, " in done.stdout
    told = json.loads(
        llada("verify", "--all", "--json", "--store", store, cwd=store, check=1).stdout
    )
    assert not told["ok"]
    assert [str(path) in one for one in told["unreadable"]] == [True]
    llada("tag", "docs", "v1", "--store", store, cwd=store)  # what is whole can be used
