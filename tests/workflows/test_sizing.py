"""Plans of the paper's recipes, on a machine that has neither the data nor the GPUs."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from workflows.cli import cli
from workflows.errors import UsageError, WorkflowError
from workflows.recipe import load_recipe

RECIPES = Path(__file__).resolve().parents[2] / "workflows" / "recipes"


@pytest.fixture(autouse=True)
def _nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def planned(recipe: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["plan", str(RECIPES / f"{recipe}.yaml"), *arguments])


def training(recipe: str, *arguments: str) -> dict[str, Any]:
    result = planned(recipe, "--json", *arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)["training"]
    return found


def test_the_papers_run_is_planned_before_there_is_a_corpus() -> None:
    found = training("llada-8b", "--mfu", "0.256")
    base, chat = found["base"], found["chat"]
    assert (base["steps"], base["tokens_per_step"]) == (438_690, 5_242_880)
    assert (base["parameters"], base["non_embedding_parameters"]) == (8_015_581_184, 6_979_588_096)
    assert base["gpu_hours"] == pytest.approx(0.13e6, rel=0.005)
    assert base["days"] == pytest.approx(16.9, abs=0.05)
    assert base["model_flops"] / base["tokens"] / 1e9 == pytest.approx(51.4, abs=0.05)
    assert set(base["memory_by_stage"]) == {"1", "2", "3"}
    assert (chat["steps"], chat["rows_may_be_shorter"]) == (52_734, True)
    assert base["fits"]
    assert chat["fits"]


@pytest.mark.parametrize(("recipe", "giga_flops"), [("llada-1b", 9.58), ("arm-1b", 8.47)])
def test_the_1b_recipes_differ_in_the_direction_of_attention_alone(
    recipe: str, giga_flops: float
) -> None:
    base = training(recipe)["base"]
    assert (base["steps"], base["parameters"]) == (67_139, 1_486_972_928)
    assert base["model_flops_per_token"] / 1e9 == pytest.approx(giga_flops, abs=0.006)


def test_a_plan_reads_as_sentences() -> None:
    text = planned("llada-8b").output
    assert "438,690 steps of 5,242,880 tokens a step: 2.300 T tokens" in text
    assert "cannot be listed yet" in text
    assert "9.632e+22 as 6 N D" in text
    assert "on 320 x h800-80g at 40.0% MFU (an assumption: --mfu)" in text
    for stage in ("ZeRO-1", "ZeRO-2", "ZeRO-3"):
        assert f"at {stage}" in text


def test_what_cannot_fit_is_refused_with_what_would() -> None:
    arguments = ("--set", "base.resources.gpu=a100-40g", "--set", "base.zero_stage=1")
    result = planned("llada-8b", *arguments)
    assert isinstance(result.exception, WorkflowError)
    message = str(result.exception)
    assert "stage 'base' cannot fit: a step at ZeRO-1 needs" in message
    assert "a100-40g has 40 GB. What would fit: zero_stage=2" in message
    assert planned("llada-8b", *arguments, "--set", "base.zero_stage=2").exit_code == 0


def test_a_run_that_cannot_fit_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "demo.yaml"
    path.write_text((RECIPES / "demo.yaml").read_text())
    settings = ["base.resources.gpu=a100-40g", "base.model=llada-8b"]
    arguments = [part for setting in settings for part in ("--set", setting)]
    result = CliRunner().invoke(cli, ["run", str(path), *arguments])
    assert isinstance(result.exception, UsageError)
    assert "stage 'base' cannot fit" in str(result.exception)
    assert {path.name for path in (tmp_path / "artifacts").iterdir()} == {"_cache"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("base.resources.gpu=h900", r"no accelerator named 'h900'; known are"),
        ("base.resources.workers=3", r"batch_size 1280 does not divide into micro-batches of 4"),
        ("base.tokens=1B", r"schedule.warmup_steps 2000 exceeds steps 191"),
        ("base.steps=1000", r"found steps and tokens; give the length once"),
    ],
)
def test_a_training_that_cannot_be_is_a_mistake_of_the_recipe(setting: str, message: str) -> None:
    result = planned("llada-1b", "--set", setting)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_steps_that_hang_on_unknown_data_are_left_open(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    text = (RECIPES / "llada-8b.yaml").read_text().replace("checks: {min_rows: 4500000}", "")
    path.write_text(text)
    result = CliRunner().invoke(cli, ["plan", str(path)])
    assert result.exit_code == 0, result.output
    assert "the number of steps is known once its data is" in result.output


def test_a_stage_may_take_every_variant_of_another() -> None:
    recipe = load_recipe(RECIPES / "scaling.yaml")
    laws = recipe.stage("laws")
    measured = {stage.name for stage in recipe.stages if stage.kind == "evaluate"}
    assert set(laws.needs.values()) == measured
    assert len(measured) == 12
    assert recipe.stages[-1] is laws


def test_every_variant_of_a_stage_without_any_is_that_stage(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    text = (RECIPES / "scaling.yaml").read_text()
    path.write_text(text.partition("\nsweep:")[0] + "\n")
    assert load_recipe(path).stage("laws").needs == {"measured": "measured"}
