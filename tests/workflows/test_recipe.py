from pathlib import Path

import pytest

from workflows.errors import RecipeError, UsageError
from workflows.recipe import Recipe, load_recipe
from workflows.selection import select, with_ancestors

GOOD = """\
name: small
stages:
  docs:
    kind: source
    config: {paths: [data]}
  text: {kind: extract, needs: docs}
  clean:
    kind: filter
    needs: text
    config:
      rules: [gopher]
      languages: [en]
"""


def _load(tmp_path: Path, text: str, **overrides: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return load_recipe(path, {key.replace("__", "."): v for key, v in overrides.items()})


def test_stages_come_in_the_order_of_their_needs(tmp_path: Path) -> None:
    recipe = _load(tmp_path, GOOD)
    assert [stage.name for stage in recipe.stages] == ["docs", "text", "clean"]
    assert recipe.stage("clean").needs == {"documents": "text"}
    assert recipe.store == "./artifacts"


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        ("rules:", "ruels:", r"recipe.yaml:11: stages.clean.config.ruels: unknown key; allowed: "
         r"rules.*Did you mean 'rules'\?"),
        ("kind: filter", "kind: filtre", r":8: stages.clean.kind: found 'filtre'; allowed: .*"
         r"Did you mean 'filter'\?"),
        ("needs: text", "needs: txet", r":9: stages.clean.needs.documents: no stage 'txet'. "
         r"Did you mean 'text'\?"),
        ("needs: text", "needs: docs", r"takes documents, but 'docs' \(source\) makes listing"),
        ("needs: text", "", r"stages.clean.needs: the slot 'documents' \(documents\) is missing"),
        ("[gopher]", "[gophr]", r":10: stages.clean.config: .*'gophr'.*gopher"),
        ("[gopher]", "7", r":11: stages.clean.config.rules: found 7; "),
        ("name: small", "nmae: small", r":1: nmae: unknown key; .*Did you mean 'name'\?"),
        ("name: small", "name: ../x", r"name: found '../x'; .*allowed: letters"),
        ("  text: {", "  docs: {", r":6: the key 'docs' stands here twice"),
        ("needs: text", "needs: clean", "in a circle: clean -> clean"),
        ("{paths: [data]}", "{paths: [data}", "not valid YAML"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_names_file_line_and_remedy(
    tmp_path: Path, find: str, replace: str, message: str
) -> None:
    assert find in GOOD
    with pytest.raises(RecipeError, match=message):
        _load(tmp_path, GOOD.replace(find, replace))


def test_an_impossible_value_is_refused_with_its_bounds(tmp_path: Path) -> None:
    text = GOOD + "      min_language_score: 1.5\n"
    with pytest.raises(RecipeError, match=r":13: .*min_language_score: found 1.5; .*less than"):
        _load(tmp_path, text)


def test_settings_replace_values_and_are_checked_alike(tmp_path: Path) -> None:
    recipe = _load(tmp_path, GOOD, clean__min_language_score="0.2")
    assert recipe.stage("clean").config_json()["min_language_score"] == 0.2
    with pytest.raises(RecipeError, match=r"no stage 'claen'.*Did you mean 'clean'"):
        _load(tmp_path, GOOD, claen__x="1")
    with pytest.raises(RecipeError, match=r"config.languagse: unknown key.*'languages'"):
        _load(tmp_path, GOOD, clean__languagse="[en]")


def test_resources_are_settable_and_not_identity(tmp_path: Path) -> None:
    recipe = _load(tmp_path, GOOD, clean__resources__workers="7")
    assert recipe.stage("clean").resources.workers == 7
    assert recipe.stage("clean").config_json() == _load(tmp_path, GOOD).stage("clean").config_json()


def test_until_keeps_what_the_stage_needs(tmp_path: Path) -> None:
    recipe = _load(tmp_path, GOOD)
    before = with_ancestors(recipe, select(recipe, "text", "--until"))
    assert [stage.name for stage in recipe.only(before).stages] == ["docs", "text"]
    with pytest.raises(UsageError, match=r"no stage 'txt'.*Did you mean 'text'"):
        select(recipe, "txt", "--until")


def test_a_missing_recipe_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(tmp_path / "none.yaml")


def test_yaml_never_builds_objects(tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        _load(tmp_path, GOOD.replace("name: small", "name: !!python/object/apply:os.getcwd []"))


def test_slots_that_may_stay_open_do_not_ask_for_names(tmp_path: Path) -> None:
    recipe = _load(
        tmp_path,
        GOOD
        + "  unique: {kind: dedup, needs: clean}\n"
        + "  later: {kind: dedup, needs: {documents: clean, against: unique}}\n",
    )
    assert recipe.stage("unique").needs == {"documents": "clean"}
    assert recipe.stage("later").needs == {"documents": "clean", "against": "unique"}
