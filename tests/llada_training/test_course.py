"""A run that really diverges is thrown back, as every rank and every restart agree."""

import math
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from llada.training.guard_config import GuardConfig
from llada.training.interventions import INTERVENTIONS, gave_up, read_interventions
from llada.training.job import StepMetrics, TrainingJob
from llada.training.record import METRICS, lost_seconds, read_lines
from llada.training.rows import open_data
from llada.training.schedule import ScheduleConfig
from tests.llada_training.test_engine import history, run_ranks
from tests.llada_training.tiny import SEQ_LEN, job, pretrain_shards, training, write_shard

pytestmark = pytest.mark.slow

# After a step at this rate the weights overflow: no figure of the next step is a number.
ABSURD = ScheduleConfig(peak=1e25, warmup_steps=0, lower=None, decay_last=0.0, final=1e20)
HELD_OUT = {"validate_every": 4, "validation_rows": 11, "random_length_fraction": 0.0, "steps": 8}
# Rows of one kind, learnt within a dozen steps; three steps then read something else altogether.
PLANTED = {"steps": 32, "batch_size": 8, "micro_batch_size": 4, "checkpoint_every": 4}
PLANTED |= {"random_length_fraction": 0.0, "guard": {"on_spike": "skip", "window": 8}}
SPIKE = range(22, 25)


class Runs(NamedTuple):
    """Jobs that have run, and the weights and losses of the first two before they ran again."""

    jobs: dict[str, TrainingJob]
    weights: dict[str, bytes]
    losses: dict[str, list[float]]


def diverging(folder: Path, **guard: object) -> TrainingJob:
    fields = GuardConfig.model_validate({"rate_factor": 1e-28, **guard}).model_dump()
    config = training(steps=6, checkpoint_every=2, schedule=ABSURD, guard=fields, zero_stage=2)
    return job(folder, config)


def measured(folder: Path, **changes: object) -> TrainingJob:
    made = job(folder, training(**{**HELD_OUT, **changes}))
    aside = folder / "held-out"
    aside.mkdir()
    return made.model_copy(update={"validation_shards": pretrain_shards(aside, rows=(13,))})


def planted(folder: Path, token: int) -> TrainingJob:
    """Make a job whose rows are all alike, but those of the steps SPIKE, which repeat `token`."""
    made = job(folder, training(**PLANTED))
    size, rows = made.training.batch_size, made.training.steps * made.training.batch_size
    ids = np.tile(np.arange(5, 5 + SEQ_LEN), (2 * rows, 1))  # no row comes twice
    place = folder / "planted.arrow"

    def on(ids: np.ndarray) -> TrainingJob:
        flat = pa.array(ids.reshape(-1).astype(np.uint16))
        table = pa.table({"input_ids": pa.FixedSizeListArray.from_arrays(flat, SEQ_LEN)})
        return made.model_copy(update={"shards": (write_shard(place, table),)})

    numbered = ids + np.arange(len(ids))[:, None]
    whole = made.model_copy(update={"model": made.model.model_copy(update={"vocab_size": 2**16})})
    order = open_data(whole.model_copy(update={"shards": on(numbered).shards}))
    read = np.concatenate([order.batch(step, range(size)).targets_BL[:, 0] for step in SPIKE])
    ids[read - 5] = token
    return on(ids)


def root(made: TrainingJob) -> Path:
    return Path(made.checkpoint_dir)


def weights(made: TrainingJob) -> Path:
    return Path(made.output_dir) / "model.safetensors"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("course")
    again = {name: diverging(folder / name) for name in ("resumed", "undecided")}
    one = {
        **again,
        "hopeless": diverging(folder / "hopeless", rate_factor=0.5, max_rollbacks=2),
        "whole": measured(folder / "whole"),
        "blind": measured(folder / "blind", validate_every=None),
        "skipping": planted(folder / "skipping", token=63),
    }
    two = {"two": diverging(folder / "two"), "split": measured(folder / "split", zero_stage=3)}
    run_ranks(1, list(one.values()), folder)
    run_ranks(2, list(two.values()), folder)
    before = {name: weights(each).read_bytes() for name, each in again.items()}
    losses = {name: [m.loss for m in history(each)] for name, each in again.items()}
    (root(again["undecided"]) / INTERVENTIONS).unlink()  # killed before it was written
    for each in again.values():
        weights(each).unlink()
        for checkpoint in root(each).glob("step-*"):
            (checkpoint / "COMPLETE.json").unlink()  # killed before any was finished
    # Other rows in the place of the spike, and what was decided is known from the first step.
    spared = planted(folder / "spared", token=44)
    root(spared).mkdir()
    shutil.copy(root(one["skipping"]) / INTERVENTIONS, root(spared))
    run_ranks(1, [*again.values(), spared], folder)
    return Runs(one | two | {"spared": spared}, before, losses)


@pytest.mark.parametrize("name", ["resumed", "two"])
def test_a_nan_goes_back_and_lowers_the_rate(name: str, runs: Runs) -> None:
    made = runs.jobs[name]
    (what,) = read_interventions(root(made))
    assert not math.isfinite(what.value)
    assert (what.remedy, what.rate_factor) == ("lower_rate", 1e-28)
    kept = history(made)
    assert all(math.isfinite(each.loss + each.grad_norm) for each in kept)
    assert [m.learning_rate for m in kept] == pytest.approx([1e-3] * 6)
    assert [m.interventions for m in kept] == [1] * 6
    assert kept[-1].loss < 1.5 * kept[0].loss


def test_what_was_thrown_away_is_counted(runs: Runs) -> None:
    made = runs.jobs["two"]
    written = read_lines(root(made) / METRICS, StepMetrics)
    kept = history(made)
    gone = [each.seconds for each in written if each.interventions == 0]
    assert gone
    assert len(written) == len(gone) + len(kept)
    assert lost_seconds(root(made) / METRICS) == pytest.approx(sum(gone))


def test_a_spike_in_the_data_is_skipped_as_if_the_run_had_never_seen_it(runs: Runs) -> None:
    made, spared = runs.jobs["skipping"], runs.jobs["spared"]
    (what,) = read_interventions(root(made))
    assert (what.what, what.remedy, what.first_bad) == ("loss", "skip", SPIKE[0])
    assert (what.back_to, what.rate_factor) == (20, 1.0)
    assert range(what.skip_from, what.skip_from + what.skip) == range(SPIKE[0] - 1, SPIKE.stop)
    seen = [m.cross_entropy or 0 for m in read_lines(root(made) / METRICS, StepMetrics)]
    assert max(seen) > what.limit
    kept = [m.cross_entropy or 0 for m in history(made)]
    assert max(kept[20:]) < what.limit
    assert kept[-1] < kept[19]  # and it goes on learning
    assert [m.loss for m in history(made)] == [m.loss for m in history(spared)]
    assert weights(made).read_bytes() == weights(spared).read_bytes()


@pytest.mark.parametrize("name", ["resumed", "undecided"])
def test_a_run_killed_around_the_rollback_takes_the_same_way(name: str, runs: Runs) -> None:
    made = runs.jobs[name]
    assert len(read_interventions(root(made))) == 1
    assert [each.loss for each in history(made)] == runs.losses[name]
    assert weights(made).read_bytes() == runs.weights[name]


def test_what_no_remedy_helps_ends_with_an_explanation(runs: Runs) -> None:
    made = runs.jobs["hopeless"]
    reason = gave_up(root(made))
    assert reason is not None
    assert "after 2 rollbacks" in reason
    assert "the rate is multiplied by 0.5" in reason
    assert "lower schedule.peak" in reason
    assert not weights(made).exists()
    assert gave_up(root(runs.jobs["resumed"])) is None


def test_the_held_out_loss_is_one_for_any_split_and_changes_nothing(runs: Runs) -> None:
    whole, split, blind = (history(runs.jobs[name]) for name in ("whole", "split", "blind"))
    assert [m.step for m in whole if m.val_loss is not None] == [3, 7]
    assert [m.loss for m in whole] == [m.loss for m in blind]
    for place in (3, 7):
        assert whole[place].val_loss == pytest.approx(split[place].val_loss, rel=1e-4)
    assert whole[3].val_loss == pytest.approx(math.log(64), rel=0.15)
