from pathlib import Path

from tests.support.stores import publish
from workflows.experiments import experiments


def test_an_experiment_is_told_as_a_table(tmp_path: Path) -> None:
    runs = [
        {"objective": "diffusion", "weights": 160_192, "tokens": 2 * 10**5, "compute": 1.92e11,
         "value": 3.25, "model": "m"},
        {"objective": "autoregressive", "weights": 160_192, "tokens": 10**5, "compute": 9.6e10,
         "value": 3.5, "model": "m"},
    ]  # fmt: skip
    info = {"measure": "bits_per_byte", "runs": runs, "laws": {}}
    laws = publish(tmp_path, "laws", "scaling", "report", info=info)
    metrics = {"forward_told_one_way": 1.0, "forward_told_both_ways": 1.0,
               "backward_told_one_way": 0.02, "backward_told_both_ways": 0.98}  # fmt: skip
    asked = publish(tmp_path, "asked", "reversal_test", "report", metrics=metrics)
    other = publish(tmp_path, "other", "evaluate", "report")
    scaling, reversal = experiments([laws.manifest, asked.manifest, other.manifest])
    assert [line.split()[0] for line in scaling.splitlines()[2:]] == ["autoregressive", "diffusion"]
    assert scaling.splitlines()[2].split() == [
        "autoregressive",
        "160,192",
        "100,000",
        "9.6e+10",
        "3.5000",
    ]
    assert reversal.splitlines()[-1].split() == ["DESCRIPTION", "is", "...", "2.0%", "98.0%"]
    assert "filled" not in reversal


def test_a_comparison_of_noise_shows_the_last_measure_and_every_schedule(tmp_path: Path) -> None:
    info = {
        "held_out": [(100 * n, 5.0 - n / 4, 5.0 - n / 2) for n in range(1, 7)],
        "schedules": ["paper", "both"],
        "noise": {
            "paper_gradient_noise_same_rows": 0.5, "paper_gradient_noise_other_rows": 0.75,
            "both_gradient_noise_same_rows": 0.125, "both_gradient_noise_other_rows": 0.25,
        },
    }  # fmt: skip
    (told,) = experiments([publish(tmp_path, "c", "variance", "report", info=info).manifest])
    lines = [line.split() for line in told.splitlines()]
    assert ["600", "3.5000", "2.0000", "-1.5000"] in lines
    assert len([line for line in lines if line[0].endswith("00")]) == 6
    assert lines[-2:] == [["paper", "0.500", "0.750"], ["both", "0.125", "0.250"]]
