"""A changed limit reads the statistics of an earlier artifact and gives what a new pass would."""

from pathlib import Path

import pytest

from pipelines import filter as stage
from pipelines.filter import FilterConfig, has_same_statistics
from tests.support.runs import load, runner, write_recipe
from workflows.artifact import Artifact
from workflows.plan import Planner
from workflows.recipe import Recipe

LIMITS = "{gopher_short_doc: 2, gopher_enough_stop_words: 0}"


def _clean(recipe: Recipe) -> Artifact:
    result = runner(recipe).run(recipe)
    return next(done.artifact for done in result.stages if done.stage.name == "clean")


def _why(recipe: Recipe, base: Path) -> str:
    planned = Planner(Path(recipe.store), base).plan(recipe)
    return next(one.why for one in planned if one.stage.name == "clean")


def test_other_limits_measure_nothing_and_give_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _clean(load(write_recipe(tmp_path)))
    changed = load(tmp_path / "small.yaml", clean__limits=LIMITS)
    assert f"; what {first.folder.name} measured is reused" in _why(changed, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(stage.Judge, "__call__", _must_not_measure)
        spared = _clean(changed)
    assert spared.manifest.metrics["statistics_reused"] == spared.manifest.ledger.entered.rows

    anew = _clean(load(write_recipe(tmp_path, store="other"), clean__limits=LIMITS))
    assert "statistics_reused" not in anew.manifest.metrics
    assert spared.manifest.digest == anew.manifest.digest != first.manifest.digest
    assert spared.manifest.ledger == anew.manifest.ledger


def _must_not_measure(*_: object) -> None:
    raise AssertionError("a text was measured again")


def test_documents_that_are_not_those_measured_are_measured(tmp_path: Path) -> None:
    _clean(load(write_recipe(tmp_path)))
    other = load(tmp_path / "small.yaml", text__unit_bytes="2000", clean__limits=LIMITS)
    assert "statistics_reused" not in _clean(other).manifest.metrics


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"limits": {"gopher_short_doc": 3.0}}, True),
        ({"rules": ("fineweb",)}, True),
        ({"min_language_score": 0.1}, True),
        ({"custom": ({"name": "a", "feature": "words", "above": 9.0},)}, True),
        ({"signatures": True}, False),
        ({"languages": ("en",)}, False),
        ({"rules": ("fineweb2/deu_Latn",)}, False),
    ],
)
def test_what_is_measured_hangs_on_words_and_languages_not_on_limits(
    changed: dict[str, object], same: bool
) -> None:
    one, other = FilterConfig(), FilterConfig.model_validate(changed)
    assert has_same_statistics(one, other) is same
