"""The recipes we ship: they load, they plan, and the one on real corpora filters them."""

from pathlib import Path

import pytest

from pipelines.executors import InProcess
from workflows.kinds import STAGE_KINDS
from workflows.plan import Planner
from workflows.recipe import load_recipe
from workflows.runner import Runner
from workflows.selection import with_ancestors

PROJECT = Path(__file__).resolve().parents[2]
RECIPES = sorted((PROJECT / "workflows" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_loads_and_starts_with_what_is_read_or_made_up(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.stages[0].kind in ("source", "reversal_world")


def test_the_recipes_walk_through_every_kind_of_stage() -> None:
    recipes = [load_recipe(path) for path in RECIPES]
    assert {stage.kind for recipe in recipes for stage in recipe.stages} == set(STAGE_KINDS)
    assert {recipe.store for recipe in recipes} == {"./artifacts"}


@pytest.mark.slow
def test_the_corpus_recipe_filters_real_documents(shared_data: Path, tmp_path: Path) -> None:
    assert shared_data == PROJECT.parent / "shared" / "data"
    recipe = load_recipe(PROJECT / "workflows" / "recipes" / "corpus.yaml")
    recipe = recipe.only(with_ancestors(recipe, ["unique"]))
    result = Runner(Planner(tmp_path, PROJECT), InProcess()).run(recipe)
    ledgers = {s.stage.name: s.artifact.manifest.ledger for s in result.stages}
    assert ledgers["text"].entered.rows > 1000
    assert ledgers["clean"].kept.rows > 500
    assert {"language_not_allowed", "gopher_short_doc"} <= set(ledgers["clean"].dropped)
    assert ledgers["clean"].kept == ledgers["unique"].entered
    assert ledgers["repaired"].kept == ledgers["clean"].entered
    assert {"pii.email", "pii.phone", "unicode.encoding"} <= set(ledgers["repaired"].edited)
