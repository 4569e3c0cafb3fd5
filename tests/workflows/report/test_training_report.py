"""A model's page: its curves are those of the record, with what happened marked."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from llada.training.interventions import INTERVENTIONS, Intervention
from llada.training.job import StepMetrics
from llada.training.record import ATTEMPTS, METRICS, Attempt
from pipelines.ledger import Count, Ledger
from pipelines.shards import describe
from pipelines.storage import write_bytes
from workflows.artifact import Artifact, Manifest
from workflows.errors import UsageError
from workflows.report.curves import WIDTH, Curve, Mark, Point, figure
from workflows.report.training_facts import training_facts_of
from workflows.report.training_page import training_page

EVIL = "<script>document.title='owned'</script>"


def line(step: int, loss: float, interventions: int = 0) -> StepMetrics:
    return StepMetrics(
        step=step, loss=loss, learning_rate=1e-3, grad_norm=2.0, tokens=128, seconds=0.5,
        tokens_per_second=256.0, cross_entropy=loss, loss_by_t=(1.0, None, loss, 4.0),
        flops_per_second=1e9, val_loss=3.0 if step == 5 else None, interventions=interventions,
    )  # fmt: skip


WHAT = Intervention(
    number=1, found_at=4, first_bad=3, what="loss", value=math.nan, limit=math.inf, back_to=2,
    remedy="skip", rate_factor=1.0, skip_from=3, skip=2,
)  # fmt: skip
STEPS = [line(s, 6 - s) for s in range(3)] + [line(3, 50.0), line(4, math.nan)]
AGAIN = [line(s, 5 - s / 2, 1) for s in range(2, 6)]
STARTS = [
    Attempt(run="a", first_step=0, world_size=2, passed_over=[]),
    Attempt(run="b", first_step=2, world_size=2, passed_over=[f"step-4.{EVIL}"]),
]


def model(folder: Path, *, name: str = "base", recorded: bool = True) -> Artifact:
    files = []
    content = {METRICS: [*STEPS, *AGAIN], INTERVENTIONS: [WHAT], ATTEMPTS: STARTS}
    for file, lines in content.items() if recorded else ():
        path = folder / "aside" / file
        text = "".join(each.model_dump_json() + "\n" for each in lines)
        written = write_bytes(path, text.encode())
        files.append(describe(folder, path, written, "aside", shard=file, rows=len(lines)))
    count = Count(rows=1)
    manifest = Manifest(
        name=name, kind="pretrain", makes="model", key="k", digest="d" * 20, config={}, inputs={},
        files=tuple(files), schema_text="", metrics={"parameters": 1e6},
        ledger=Ledger(unit="sequences", entered=count, kept=count), info={}, version=1,
        code_policy="pin", code_hash="", code_parts={}, commit=None, dirty_diff=None, packages={},
        created="", seconds=1.0, run_id=EVIL, recipe=f"r{EVIL}",
    )  # fmt: skip
    return Artifact(folder=folder, manifest=manifest)


def test_what_led_to_the_weights_is_told_from_what_was_thrown_away(tmp_path: Path) -> None:
    facts = training_facts_of(model(tmp_path))
    assert [each.loss for each in facts.steps] == [6.0, 5.0, 4.0, 3.5, 3.0, 2.5]
    assert [each.step for each in facts.lost] == [2, 3, 4]
    assert facts.lost_seconds == 1.5
    assert [each.run for each in facts.restarts] == ["b"]


def test_the_page_shows_curves_and_events_and_runs_nothing(tmp_path: Path) -> None:
    seen: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append(tag)

    text = training_page(
        training_facts_of(model(tmp_path / "a")),
        training_facts_of(model(tmp_path / "b", name="other")),
    )
    Tags().feed(text)
    assert not {"script", "img", "iframe", "object", "link", "form"} & set(seen)
    assert seen.count("svg") == 7
    assert "default-src 'none'" in text
    assert text.lower().count("nan") == text.count("loss nan at step 4")  # none in a drawing
    assert "loss nan at step 4: back to step 2, the data of steps 3 to 4 is skipped" in text
    assert "restart at step 2" in text
    assert "thrown away" in text
    assert "seconds of lost work" in text
    assert "utilisation" not in text  # nobody said what the hardware can do
    assert re.search(r"other: 2\.5", text)


def test_a_model_without_a_record_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no record of its steps"):
        training_facts_of(model(tmp_path, recorded=False))


def test_a_curve_goes_through_its_points() -> None:
    points = [Point(0, 4.0), Point(50, math.nan), Point(100, 2.0)]
    text = figure("loss", [Curve("a<b", points)], [Mark(50, "x > y", "rollback")])
    found = re.search(r'<polyline class="one" points="([^"]*)"', text)
    assert found is not None
    (x0, y0), (x1, y1) = (map(float, place.split(",")) for place in found[1].split())
    assert (x0, x1) == (0.0, WIDTH)
    assert y0 < y1  # 4 lies above 2
    assert f'x1="{WIDTH / 2:.1f}"' in text
    assert "a&lt;b" in text
    assert "x &gt; y" in text


def test_a_long_curve_keeps_its_extremes_as_a_range() -> None:
    points = [Point(step, 100.0 if step == 5_000 else 1.0) for step in range(10_000)]
    text = figure("loss", [Curve("a", points)])
    assert len(text) < 20_000
    band = re.search(r'<polygon class="one" points="([^"]*)"', text)
    assert band is not None
    heights = [float(place.split(",")[1]) for place in band[1].split()]
    assert min(heights) == 3.0  # the top: 100


def test_nothing_finite_is_no_figure() -> None:
    assert figure("loss", [Curve("a", [Point(0, math.nan)])]) == ""
    assert figure("norm", [Curve("a", [Point(0, 0.0)])], logarithmic=True) == ""
