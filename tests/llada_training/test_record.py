"""The record survives torn lines and repeated steps."""

from pathlib import Path

import pytest

from llada.training.errors import CheckpointError
from llada.training.job import StepMetrics
from llada.training.record import Tail, Writer, lost_seconds, read_metrics


def line(step: int, loss: float = 1.0) -> StepMetrics:
    return StepMetrics(
        step=step,
        loss=loss,
        learning_rate=0.1,
        grad_norm=float("nan"),
        tokens=8,
        tokens_per_second=4.0,
        seconds=2.0,
    )


def test_a_killed_and_resumed_run_reads_as_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = Tail(path)
    assert list(tail.new()) == []
    with Writer(path) as writer:
        for step in range(4):
            writer.append(line(step))
    with path.open("ab") as file:
        file.write(line(4).model_dump_json().encode()[:30])
    assert [m.step for m in tail.new()] == [0, 1, 2, 3]
    with Writer(path) as writer:  # resumed from the checkpoint after step 1
        for step in range(2, 6):
            writer.append(line(step, loss=2.0))
    assert [(m.step, m.loss) for m in tail.new()] == [(4, 2.0), (5, 2.0)]
    assert [m.loss for m in read_metrics(path, 6)] == [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]
    assert [m.step for m in Tail(path).new()] == list(range(6))


def test_a_missing_step_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Writer(path) as writer:
        writer.append(line(0))
        writer.append(line(2))
    with pytest.raises(CheckpointError, match="lacks 1 of 3 steps, the first is 1"):
        read_metrics(path, 3)


def test_a_rollback_is_heard_again_and_a_kill_is_not(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = Tail(path)
    again = [line(step, 3.0).model_copy(update={"interventions": 1}) for step in range(1, 4)]
    with Writer(path) as writer:
        for each in [*map(line, range(3)), *again, again[-1]]:
            writer.append(each)
    assert [(m.step, m.loss) for m in tail.new()] == [
        (0, 1.0), (1, 1.0), (2, 1.0), (1, 3.0), (2, 3.0), (3, 3.0),
    ]  # fmt: skip
    assert [m.loss for m in read_metrics(path, 4)] == [1.0, 3.0, 3.0, 3.0]
    assert lost_seconds(path) == 2.0 * 3
