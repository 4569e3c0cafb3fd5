"""A document that crashes its process costs itself alone; a unit that only dies ends the stage."""

import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines import cpu_limit
from pipelines.bisection import apart
from pipelines.deaths import CAREFUL_AFTER, MOST, CrashError, InChild, Watched
from pipelines.errors import InputError, WorkerError
from pipelines.executors import OnRay
from pipelines.ledger import Count, Ledger
from pipelines.shards import ShardRecord, read_table
from pipelines.workspace import Resources, Stop
from tests.support.fragile import POISON, Fragile, documents, on_ray, units


class FragileWorker:
    """Keeps the ids of what was set aside as a metric each."""

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        return self._record(unit, [Fragile()(read_table(unit["path"]))], [])

    def carefully(self, unit: Mapping[str, Any]) -> ShardRecord:
        with InChild[pa.Table, int](Fragile) as judge:
            counts, failed = apart(read_table(unit["path"]), judge)
        return self._record(unit, counts, failed["doc_id"].to_pylist())

    def _record(self, unit: Mapping[str, Any], counts: list[int], failed: list[str]) -> ShardRecord:
        ledger = Ledger(entered=Count(rows=sum(counts)))
        return ShardRecord(
            shard=unit["shard"], files=(), ledger=ledger, metrics=dict.fromkeys(failed, 1.0)
        )


class Stubborn:
    """A worker whose process dies on every unit, with no careful way."""

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@on_ray
def test_a_document_that_crashes_its_process_costs_itself_alone(tmp_path: Path) -> None:
    bad = documents(*[str(n) for n in range(5)], POISON, "6")
    todo = units(tmp_path, documents("a", "b"), bad, documents("c"))
    factory = partial(Watched, FragileWorker, tmp_path, "one")
    found = OnRay().map_units(factory, todo, Resources(workers=1), lambda record: None, Stop())
    by_shard = {record.shard: record for record in found}
    assert {shard: record.ledger.entered.rows for shard, record in by_shard.items()} == {
        "00000": 2, "00001": 6, "00002": 1,
    }  # fmt: skip
    assert by_shard["00001"].metrics == {"d5": 1.0}
    assert not list((tmp_path / "_begun").iterdir())


def test_a_limit_is_no_concern_of_a_process_that_must_live() -> None:
    cpu_limit.begin(0, seconds=1e-6)
    assert sum(range(10**6)) > 0
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    cpu_limit.end()


@on_ray
def test_a_unit_that_only_kills_is_named(tmp_path: Path) -> None:
    factory = partial(Watched, Stubborn, tmp_path, "one")
    todo = units(tmp_path, documents("a"))
    with pytest.raises(WorkerError, match=r"5 worker processes died on unit 00000 \(.*0.parquet"):
        OnRay().map_units(factory, todo, Resources(workers=1), lambda record: None, Stop())


def test_an_error_is_no_death_and_another_attempt_counts_anew(tmp_path: Path) -> None:
    class Failing:
        def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
            raise ValueError("a wrong document")

    worker = Watched(Failing, tmp_path, "one")
    for _ in range(MOST + 1):
        with pytest.raises(ValueError, match="wrong document"):
            worker({"shard": "00000"})
    (tmp_path / "_begun").mkdir(exist_ok=True)
    for number in range(MOST):
        (tmp_path / "_begun" / f"00000.one.{number}").touch()
    with pytest.raises(WorkerError, match="run again"):
        worker({"shard": "00000"})
    with pytest.raises(ValueError, match="wrong document"):
        Watched(Failing, tmp_path, "two")({"shard": "00000"})


def test_a_dead_process_is_said_and_replaced() -> None:
    with InChild[pa.Table, int](Fragile) as judge:
        assert judge(documents("a", "b")) == 2
        with pytest.raises(CrashError, match="died of SIGSEGV"):
            judge(documents(POISON))
        assert judge(documents("a")) == 1
    assert CAREFUL_AFTER < MOST


class OddError(Exception):
    """Cannot be sent: it asks for two arguments and tells of one."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def raising() -> Callable[[str], str]:
    return _raise


def _raise(kind: str) -> str:
    if kind == "odd":
        raise OddError("o", "dd")
    if kind == "end":
        raise SystemExit(3)
    raise InputError(kind)


def test_an_error_of_the_other_process_is_raised_here() -> None:
    with InChild[str, str](raising) as function:
        with pytest.raises(InputError, match="install it"):
            function("install it")
        with pytest.raises(RuntimeError, match="OddError: odd"):
            function("odd")
        with pytest.raises(CrashError, match="ended with 3"):
            function("end")
