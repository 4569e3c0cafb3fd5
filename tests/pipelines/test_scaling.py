"""Runs over compute: the table, the law of the best of them, and the figure."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from llada.config import ModelConfig
from pipelines.errors import InputError
from pipelines.scaling import Run, ScalingConfig, fitted, run
from pipelines.scaling_figure import figure
from pipelines.workspace import InputArtifact
from tests.support.stages import workspace


def law(compute: float) -> float:
    return 40.0 * compute**-0.05


def a_run(compute: float, value: float, objective: str = "diffusion") -> Run:
    return Run(objective, "m", 100, round(compute), compute, value)


def report(name: str, objective: str, tokens: int, model: str, value: float) -> InputArtifact:
    kind = "nll" if objective == "autoregressive" else "bound"
    info: dict[str, Any] = {
        "trained": {
            "model": ModelConfig.preset(model).model_dump(mode="json"),
            "objective": objective,
            "tokens": tokens,
        },
        "measured": {f"{kind}_bits_per_byte": value, f"{kind}_nats_per_token": 3 * value},
    }
    return InputArtifact(name, "evaluate", "0" * 64, Path(), (), info)


def test_a_law_is_found_again() -> None:
    found = fitted([a_run(c, law(c)) for c in (1e12, 1e13, 1e14)], "diffusion")
    assert found is not None
    assert found.exponent == pytest.approx(0.05)
    assert found.scale == pytest.approx(40.0)


def test_runs_that_less_compute_beats_do_not_count() -> None:
    best = [a_run(c, law(c)) for c in (1e12, 1e13, 1e14)]
    found = fitted([*best, a_run(3e13, 30.0), a_run(1e15, law(1e14))], "diffusion")
    assert found == fitted(best, "diffusion")
    assert fitted(best[:2], "diffusion") is None
    assert fitted(best, "autoregressive") is None


def test_reports_become_one_table_by_six_n_d(tmp_path: Path) -> None:
    reports = {
        "a": report("a", "pretrain", 1000, "pico", 2.5),
        "b": report("b", "autoregressive", 1000, "pico", 2.25),
        "c": report("c", "pretrain", 4000, "tiny", 2.0),
    }
    output = run(workspace(tmp_path, reports), ScalingConfig())
    content = json.loads((tmp_path / "out" / "report" / "report.json").read_bytes())
    rows = {row["model"]: row for row in content["runs"]}
    assert rows["a"]["compute"] == 6 * 160_192 * 1000
    assert rows["c"]["compute"] == 6 * 1_665_760 * 4000
    assert (rows["a"]["value"], rows["b"]["value"]) == (2.5, 2.25)
    assert rows["b"]["objective"] == "autoregressive"
    assert output.metrics == {
        "runs": 3.0,
        "diffusion_best_bits_per_byte": 2.0,
        "autoregressive_best_bits_per_byte": 2.25,
    }
    table = (tmp_path / "out" / "report" / "table.md").read_text()
    assert "| autoregressive | 160,192 | 1,000 | 9.61e+08 | 2.2500 |" in table


def test_nats_a_token_are_compared_where_asked(tmp_path: Path) -> None:
    reports = {"a": report("a", "pretrain", 1000, "pico", 2.5)}
    output = run(workspace(tmp_path, reports), ScalingConfig(measure="nats_per_token"))
    assert output.metrics["diffusion_best_nats_per_token"] == 7.5


def test_a_report_without_a_likelihood_is_refused(tmp_path: Path) -> None:
    silent = report("a", "pretrain", 1000, "pico", 2.5)
    silent.info["measured"].clear()  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"no bound_bits_per_byte; give its evaluate stage"):
        run(workspace(tmp_path, {"a": silent}), ScalingConfig())
    tuned = report("b", "sft", 1000, "pico", 2.5)
    with pytest.raises(InputError, match="does not say how its model was trained"):
        run(workspace(tmp_path, {"b": tuned}), ScalingConfig())


def test_the_figure_puts_more_compute_right_and_less_loss_lower() -> None:
    points = [
        ("diffusion", 10, 1e12, 3.0),
        ("diffusion", 10, 1e13, 2.5),
        ("autoregressive", 10, 1e12, 2.8),
        ("autoregressive", 20, 5e13, 2.2),
    ]
    root = ET.fromstring(figure(points, label="bits per byte"))
    name = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{name}polyline")) == 3
    dots = [d for d in root.findall(f"{name}circle") if d.find(f"{name}title") is not None]
    assert len(dots) == 4
    places = sorted((float(d.attrib["cx"]), float(d.attrib["cy"])) for d in dots)
    assert places[0][0] == places[1][0] < places[2][0] < places[3][0]
    assert places[-1][1] == max(y for _, y in places)
    assert all(70 <= x <= 550 and 30 <= y <= 390 for x, y in places)
