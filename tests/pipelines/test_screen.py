import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipelines import screen
from pipelines.errors import InputError
from pipelines.executors import InProcess
from pipelines.screen import ScreenConfig
from pipelines.shards import ShardFiles
from pipelines.storage import hash_file
from pipelines.workspace import InputArtifact, Resources, Workspace
from tests.filters.test_toxicity import trained
from tests.support.documents import prose
from workflows.errors import StageError
from workflows.plan import Planner
from workflows.recipe import load_recipe
from workflows.runner import Runner, RunResult

RECIPE = """\
name: small
store: {folder}/store
stages:
  docs: {{kind: source, config: {{paths: [{folder}/data]}}}}
  text: {{kind: extract, needs: docs}}
  sites: {{kind: source, config: {{paths: [{folder}/{lists}/sites], format: text}}}}
  words: {{kind: source, config: {{paths: [{folder}/{lists}/words], format: text}}}}
  model: {{kind: source, config: {{paths: [{folder}/{lists}/model.bin], format: text}}}}
  screened:
    kind: screen
    needs: {{documents: text, url_lists: sites, word_lists: words, toxicity_model: model}}
    config:
      default_language: en
      licences_denied: ["*-nc-*"]
      robots: [noai]
  bare: {{kind: screen, needs: {{documents: text}}, config: {{{config}}}}}
"""
BARE = "licences_allowed: [mit], unknown_licence: drop"

DOCUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "kept": ({"text": prose(1), "url": "https://good.org/1", "license": "MIT"}, ""),
    "host": ({"text": prose(2), "url": "https://www.bad.example/1"}, "url_domain_blocked"),
    "url": ({"text": prose(3), "url": "https://good.org/forum/3"}, "url_blocked"),
    "words": ({"text": f"{prose(4)} Darn it."}, "listed_words"),
    "toxic": ({"text": "you awful thing, you awful awful thing"}, "toxicity"),
    "licence": ({"text": prose(5), "license": "CC-BY-NC-4.0"}, "licence_not_allowed"),
    "robots": ({"text": prose(6), "robots": "noindex, NoAI"}, "robots_directive"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    rows = [document for document, _ in DOCUMENTS.values()]
    (tmp_path / "data/a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "lists/sites/adult").mkdir(parents=True)
    (tmp_path / "lists/sites/adult/domains").write_text("bad.example\n")
    (tmp_path / "lists/sites/adult/urls").write_text("good.org/forum\n")
    (tmp_path / "lists/words").mkdir()
    (tmp_path / "lists/words/en").write_text("darn\n")
    learned = [("toxic", "you awful thing"), ("fine", prose(9)[:80])] * 20
    trained(tmp_path / "lists", learned)
    return tmp_path


def _run(folder: Path, lists: str = "lists", config: str = BARE) -> RunResult:
    (folder / "small.yaml").write_text(RECIPE.format(folder=folder, lists=lists, config=config))
    recipe = load_recipe(folder / "small.yaml", {})
    return Runner(Planner(Path(recipe.store), folder), InProcess()).run(recipe)


def test_each_reason_drops_its_document_with_value_and_limit(folder: Path) -> None:
    artifact = next(s.artifact for s in _run(folder).stages if s.stage.name == "screened")
    by_role = {
        role: pa.concat_tables(
            pq.read_table(artifact.folder / e.path)
            for e in artifact.manifest.files
            if e.role == role
        ).to_pylist()
        for role in ("data", "rejects", "features")
    }
    artifact.manifest.ledger.balance("screened")
    assert [row["text"] for row in by_role["data"]] == [prose(1)]
    reasons = {row["text"]: row["rule"] for row in by_role["rejects"]}
    assert reasons == {document["text"]: rule for document, rule in DOCUMENTS.values() if rule}
    verdicts = {r["rule"]: (r["feature"], r["value"], r["limit"]) for r in by_role["rejects"]}
    assert verdicts["url_domain_blocked"] == ("url_domain_listed", 1, 0)
    assert verdicts["listed_words"] == ("listed_words", 1, 0)
    assert verdicts["licence_not_allowed"] == ("licence_allowed", 0, 1)
    assert verdicts["robots_directive"] == ("robots_directives", 1, 0)
    assert verdicts["toxicity"][1] > verdicts["toxicity"][2] == 0.5
    assert {row["listed_in"] for row in by_role["features"]} == {"", "adult/domains", "adult/urls"}


def test_moved_lists_change_nothing_and_a_new_entry_does(folder: Path) -> None:
    _run(folder)
    (folder / "lists").rename(folder / "moved")
    caches = {s.stage.name: s.cache for s in _run(folder, "moved").stages}
    assert (caches["sites"], caches["screened"]) == ("ran", "reused")
    (folder / "moved/sites/adult/domains").write_text("other.example\n")
    done = {s.stage.name: s for s in _run(folder, "moved").stages}
    assert (done["screened"].cache, done["bare"].cache) == ("ran", "reused")
    ledger = done["screened"].artifact.manifest.ledger
    assert ledger.kept.rows == 2
    assert "url_domain_blocked" not in ledger.dropped


def test_only_what_is_configured_is_looked_up(folder: Path) -> None:
    stages = {s.stage.name: s.artifact.manifest for s in _run(folder).stages}
    dropped = stages["bare"].ledger.dropped
    assert {rule: count.rows for rule, count in dropped.items()} == {"licence_not_allowed": 6}


def test_a_list_that_changed_after_it_was_listed_stops_the_stage(folder: Path) -> None:
    path = folder / "lists/sites/adult/domains"
    row = {
        "name": "adult/domains", "uri": str(path), "format": "lines",
        "bytes": path.stat().st_size, "xxh3_128": hash_file(path),
    }  # fmt: skip
    files = ShardFiles(folder / "listing", "00000", "aaaa")
    files.write_parquet(pa.Table.from_pylist([row]), "data")
    listing = InputArtifact("sites", "source", "d", folder / "listing", files.entries)
    workspace = Workspace(
        "screened", folder / "out", "bbbb", {"url_lists": listing}, Resources(), InProcess()
    )
    path.write_text("good.org\n")
    with pytest.raises(
        InputError, match=r"domains is missing or has changed since sites listed it"
    ):
        screen.run(workspace, ScreenConfig())


def test_nothing_to_look_up_is_an_error(folder: Path) -> None:
    with pytest.raises(StageError, match="nothing to look up; fill a slot"):
        _run(folder, config="toxicity: 0.3")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"unknown_licence": "drop"}, "no licence is named"),
        ({"robots": ["NoAI"]}, "found 'NoAI'; write directives in lower case"),
        ({"toxicity": 2}, "less than or equal to 1"),
    ],
)
def test_impossible_settings_are_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ScreenConfig.model_validate(config)
