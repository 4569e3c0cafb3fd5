"""A dedup that is killed in the middle goes on, and makes what it would have made."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from pipelines.dedup.layout import Sizes
from pipelines.executors import InProcess, OnRay
from pipelines.shards import ShardRecord
from pipelines.workspace import UnitWorker, WorkerFactory
from tests.support.corpora import artifact, dedup, evidence, read, rows_of
from tests.support.documents import prose

TEXTS = {f"d{i:02}": prose(i % 7) + (" end" if i % 3 else "") for i in range(24)}
UNITS = [dict(list(TEXTS.items())[at : at + 8]) for at in range(0, 24, 8)]
SIZES = Sizes(rows=12, fan_in=2)


class KilledError(Exception):
    """Stands for kill -9: nothing after it runs."""


class Killed(InProcess):
    """Ends at the n-th unit, counted over all steps; remembers what it did before."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at
        self.done: list[str] = []

    def map_units(self, factory: WorkerFactory, *arguments: Any) -> list[ShardRecord]:
        def doomed() -> UnitWorker:
            worker = pickle.loads(pickle.dumps(factory))()  # as it travels to a worker

            def work(unit: Any) -> ShardRecord:
                if not self.left:
                    raise KilledError
                self.left -= 1
                self.done.append(unit["shard"])
                return worker(unit)

            return work

        return super().map_units(doomed, *arguments)


def result(out: Path, output: Any) -> tuple[Any, ...]:
    hashes = sorted((e.role, e.shard, e.xxh3_128) for e in output.files if "json" not in e.path)
    summary = next(e.path for e in output.files if e.path.endswith(".json"))
    return (
        hashes,
        output.ledger,
        output.metrics,
        output.info,
        json.loads((out / summary).read_bytes()),
    )


@pytest.fixture
def every_step_on_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small corpora are finished by the driver: not here."""
    monkeypatch.setattr("pipelines.dedup.steps._SMALL_BYTES", 0)


@pytest.mark.usefixtures("every_step_on_workers")
@pytest.mark.parametrize(
    "config", [{}, {"method": "exact", "level": "line"}], ids=["documents", "lines"]
)
def test_killed_at_any_unit_it_goes_on(tmp_path: Path, config: dict[str, Any]) -> None:
    inputs = {"documents": artifact(tmp_path / "in", [rows_of(unit) for unit in UNITS])}
    whole = Killed(1000)
    plain = dedup(tmp_path / "plain", inputs, config, sizes=SIZES, executor=whole)
    expected = result(tmp_path / "plain", plain)
    total = len(whole.done)
    assert total == len(set(whole.done))
    out, killed = tmp_path / "out", 0
    done: list[str] = []
    while True:  # every run does three units and is killed
        executor = Killed(3)
        try:
            output = dedup(
                out, inputs, config, sizes=SIZES, executor=executor, attempt=f"run{killed}"
            )
            break
        except KilledError:
            killed += 1
        finally:
            done += executor.done
    assert killed == (total - 1) // 3
    assert sorted(done) == sorted(whole.done)  # nothing was done twice
    assert result(out, output) == expected
    assert not list((out / "aside").glob("*.arrow"))


def test_a_lost_spill_is_made_again(tmp_path: Path) -> None:
    inputs = {"documents": artifact(tmp_path / "in", [rows_of(unit) for unit in UNITS])}
    expected = result(tmp_path / "a", dedup(tmp_path / "a", inputs, sizes=SIZES))
    out = tmp_path / "b"
    with pytest.raises(KilledError):
        dedup(out, inputs, sizes=SIZES, executor=Killed(5))  # three sketches, two halves of split
    spill = next((out / "aside").glob("sketches-*.arrow"))
    spill.write_bytes(spill.read_bytes()[:100])
    assert result(out, dedup(out, inputs, sizes=SIZES)) == expected


@pytest.mark.ray
@pytest.mark.filterwarnings("default")  # Ray's own, in the driver
@pytest.mark.usefixtures("ray_session")
def test_on_ray_it_makes_the_same(tmp_path: Path) -> None:
    inputs = {"documents": artifact(tmp_path / "in", [rows_of(unit) for unit in UNITS[:2]])}
    plain = dedup(tmp_path / "plain", inputs)
    on_ray = dedup(tmp_path / "ray", inputs, executor=OnRay())
    assert result(tmp_path / "ray", on_ray) == result(tmp_path / "plain", plain)
    assert read(tmp_path / "ray", on_ray, "rejects")
    assert evidence(tmp_path / "ray", on_ray, "verify")
