"""Selectors and sweeps: which stages, and how often."""

from pathlib import Path

import pytest

from tests.support.runs import Watched, load, runner, write_recipe
from workflows.errors import RecipeError, UsageError
from workflows.matrix import expand
from workflows.recipe import Recipe, load_recipe
from workflows.selection import select


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    return write_recipe(tmp_path, files=2)


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("clean", {"clean"}),
        ("+clean", {"docs", "text", "clean"}),
        ("clean+", {"clean", "unique"}),
        ("+clean+", {"docs", "text", "clean", "unique"}),
        ("c*, other", {"clean", "other"}),
        ("text+", {"text", "clean", "other", "unique"}),
        ("", set()),
    ],
)
def test_selectors(recipe_file: Path, selector: str, chosen: set[str]) -> None:
    assert select(load(recipe_file), selector, "--select") == chosen


def test_a_selector_without_a_stage_is_an_error(recipe_file: Path) -> None:
    with pytest.raises(UsageError, match=r"--force \+claen: .*Did you mean 'clean'"):
        select(load(recipe_file), "+claen", "--force")


def swept(recipe_file: Path, **sweeps: str) -> Recipe:
    return load_recipe(recipe_file, {}, {k.replace("__", "."): v for k, v in sweeps.items()})


def test_a_sweep_doubles_what_follows_and_shares_what_comes_before(recipe_file: Path) -> None:
    recipe = swept(recipe_file, clean__min_language_score="[0.1, 0.3]")
    assert [stage.name for stage in recipe.stages] == [
        "docs",
        "text",
        "clean.min_language_score=0.1",
        "clean.min_language_score=0.3",
        "other",
        "unique.min_language_score=0.1",
        "unique.min_language_score=0.3",
    ]
    assert recipe.stage("unique.min_language_score=0.3").needs == {
        "documents": "clean.min_language_score=0.3"
    }
    config = recipe.stage("clean.min_language_score=0.3").config_json()
    assert config["min_language_score"] == 0.3
    executor = Watched()
    result = runner(recipe, executor).run(recipe)
    assert {done.cache for done in result.stages} == {"ran"}
    assert len(executor.of("text")) == len(set(executor.of("text")))
    again = runner(recipe, executor).run(recipe)
    assert {done.cache for done in again.stages} == {"reused"}


def test_two_sweeps_give_every_combination(recipe_file: Path) -> None:
    recipe = swept(
        recipe_file, clean__min_language_score="[0.1, 0.3]", unique__threshold="[0.7, 0.8, 0.9]"
    )
    assert sum(stage.origin == "clean" for stage in recipe.stages) == 2
    assert sum(stage.origin == "unique" for stage in recipe.stages) == 6
    assert select(recipe, "unique", "--select") == {
        stage.name for stage in recipe.stages if stage.origin == "unique"
    }
    assert len(select(recipe, "clean.min_language_score=0.1+", "--select")) == 4


def test_a_sweep_in_the_recipe_reads_like_one_on_the_command_line(recipe_file: Path) -> None:
    by_option = swept(recipe_file, clean__min_language_score="[0.1, 0.3]")
    text = recipe_file.read_text() + "sweep: {clean.min_language_score: [0.1, 0.3]}\n"
    recipe_file.write_text(text)
    assert load(recipe_file) == by_option


@pytest.mark.parametrize(
    ("sweep", "complaint"),
    [
        ("{claen.x: [1]}", "names no STAGE.KEY of this recipe. Did you mean 'clean'"),
        ("{clean: [1]}", "names no STAGE.KEY"),
        ("{clean.min_language_score: 3}", "write a list of values"),
        ("{clean.min_language_score: []}", "write a list of values"),
        ("[clean]", "found no mapping"),
        ("{clean.min_language_score: [0.5, 0.5]}", "a value stands there twice"),
        ("{clean.min_langage_score: [0.5]}", "Did you mean 'min_language_score'"),
        ("{clean.min_language_score: [7]}", "less than or equal to 1"),
    ],
)
def test_a_sweep_that_cannot_be_names_its_line(
    recipe_file: Path, sweep: str, complaint: str
) -> None:
    recipe_file.write_text(recipe_file.read_text() + f"sweep: {sweep}\n")
    with pytest.raises(RecipeError, match=rf"small.yaml:\d+: .*{complaint}"):
        load(recipe_file)


def test_variants_have_plain_names_whatever_the_values() -> None:
    stages = {"a": {"kind": "x", "config": {}}, "b": {"kind": "x", "needs": {"slot": "a"}}}
    sweep = {"a.words": ["../../etc/passwd", "x" * 99, [1, 2], "1e-3"]}
    expanded, origins = expand(stages, sweep)
    assert len(expanded) == 8
    assert all("/" not in name and len(name) < 60 for name in expanded)
    assert set(origins.values()) == {"a", "b"}
    assert "a.words=1e-3" in expanded


def test_resources_can_be_swept_without_changing_the_keys(recipe_file: Path) -> None:
    recipe = swept(recipe_file, clean__resources__workers="[1, 2]")
    variants = [stage for stage in recipe.stages if stage.origin == "clean"]
    assert [stage.resources.workers for stage in variants] == [1, 2]
    assert variants[0].config == variants[1].config
