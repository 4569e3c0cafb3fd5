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


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        ("[gopher]", "2026-13-45", r":11: found '2026-13-45', which YAML takes for a timestamp: "
         r"month must be in 1..12. Write it in quotes"),
        ("[gopher]", "!!python/object:os.system x", r":11: not valid YAML: could not determine a "
         "constructor"),
        ("[gopher]", "&a [*a]", r"recipe.yaml: a value holds itself"),
        ("needs: text", "needs: {documents: [text]}", r":9: stages.clean.needs.documents: found "
         r"\['text'\]; write the name of one stage"),
        ("name: small", "name: ../x", r":1: name: found '../x'; allowed: letters"),
    ],
)  # fmt: skip
def test_what_yaml_or_a_hand_makes_of_it_is_told_too(
    tmp_path: Path, find: str, replace: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        _load(tmp_path, GOOD.replace(find, replace))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("clean.rules.x", r"recipe.yaml:7: stages.clean: --set clean.rules.x=3: config.rules is a "
         "list: it has no 'x' to set"),
        ("docs.paths.0", "config.paths is a list: it has no '0' to set"),
        ("clean.resources.workers.x", r"resources.workers: found \{'x': 3\}"),
    ],
)  # fmt: skip
def test_a_setting_that_leads_nowhere_is_told(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        _load(tmp_path, GOOD, **{setting.replace(".", "__"): "3"})


def test_a_stage_or_sweep_that_is_no_mapping_takes_no_setting(tmp_path: Path) -> None:
    broken = GOOD.replace("  text: {kind: extract, needs: docs}", "  text: 7")
    with pytest.raises(RecipeError, match="the stage is a int: it has no 'config' to set"):
        _load(tmp_path, broken, text__unit_bytes="3")
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD + "sweep: 3\n")
    with pytest.raises(RecipeError, match="sweep: found no mapping"):
        load_recipe(path, sweeps={"clean.words": "[unicode, spacy]"})
    path.write_text(GOOD)
    with pytest.raises(RecipeError, match=r"sweep: config\.rules is a list"):
        load_recipe(path, sweeps={"clean.rules.x": "[1, 2]"})


def test_settings_reach_what_the_recipe_leaves_out_or_empty(tmp_path: Path) -> None:
    empty = GOOD.replace("  text: {kind: extract, needs: docs}",
                         "  text: {kind: extract, needs: docs, config: }")  # fmt: skip
    recipe = _load(tmp_path, empty, text__unit_bytes="7", text__resources__workers="5")
    assert recipe.stage("text").config_json()["unit_bytes"] == 7
    assert recipe.stage("text").resources.workers == 5
