"""What a run did about its spikes, as lines of a file that a resumed run obeys again.

The rate and the data of a step are pure functions of the step and of these lines, so a run that is
killed after a rollback takes the same way again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from llada.training.guard_config import GuardConfig, Remedy
from llada.training.guards import Trouble
from llada.training.record import Writer, read_lines

INTERVENTIONS = "interventions.jsonl"


class Intervention(BaseModel):
    """One decision: what was found, where the run went back to, and what has changed since."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    number: int
    found_at: int
    """The step at which the spike was certain."""
    first_bad: int
    what: Literal["loss", "gradient norm"]
    value: float
    limit: float
    back_to: int
    """The step the run went on from: that of a checkpoint, or 0, the first weights."""
    remedy: Remedy
    rate_factor: float
    """Multiplies the rate of every step from `back_to` on."""
    skip_from: int
    skip: int
    """So many steps' data from this one are not read; counted in steps of data, not of the run."""

    def sentence(self) -> str:
        """Return what happened, for people."""
        found = f"{self.what} {self.value:.4g} at step {self.found_at}"
        allowed = "" if self.limit == float("inf") else f" (allowed {self.limit:.4g})"
        done = {
            "lower_rate": f"the rate is multiplied by {self.rate_factor:g} from there on",
            "skip": f"the data of steps {self.skip_from} to {self.skip_from + self.skip - 1} is "
            "skipped",
            "stop": "the run gave up",
        }[self.remedy]
        return f"{found}{allowed}: back to step {self.back_to}, {done}"


def remedy_for(config: GuardConfig, before: Sequence[Intervention]) -> Remedy:
    """Return what the next trouble is met with: giving up, after too many."""
    return "stop" if len(before) >= config.max_rollbacks else config.on_spike


def decide(
    trouble: Trouble, config: GuardConfig, before: Sequence[Intervention], back_to: int
) -> Intervention:
    """Return what to do about `trouble`, going back to `back_to`; pure.

    Skipped are the steps of the spike and one before: an update shows in the loss only a step
    later. What lies before `back_to` is in the weights already.
    """
    remedy = remedy_for(config, before)
    first = max(back_to, trouble.first - 1)
    skip_from = data_step(first, before)
    skipped = data_step(trouble.last, before) - skip_from + 1 if remedy == "skip" else 0
    return Intervention(
        number=len(before) + 1,
        found_at=trouble.last,
        first_bad=trouble.first,
        what=trouble.what,
        value=trouble.value,
        limit=trouble.limit,
        back_to=back_to,
        remedy=remedy,
        rate_factor=config.rate_factor if remedy == "lower_rate" else 1.0,
        skip_from=skip_from,
        skip=skipped,
    )


def data_step(step: int, interventions: Sequence[Intervention]) -> int:
    """Return which step's data the run reads at `step`: the step-th of those not skipped."""
    skipped = sorted((each.skip_from, each.skip_from + each.skip) for each in interventions)
    end_of_last = 0
    for start, end in skipped:  # what two skip is skipped once
        new = max(start, end_of_last)
        if step >= new and end > new:
            step += end - new
        end_of_last = max(end_of_last, end)
    return step


def rate_factor(step: int, interventions: Sequence[Intervention]) -> float:
    """Return what the schedule's rate is multiplied by at `step`."""
    factor = 1.0
    for each in interventions:
        if step >= each.back_to:
            factor *= each.rate_factor
    return factor


def record(root: Path, intervention: Intervention) -> None:
    """Append one decision, durably."""
    with Writer(root / INTERVENTIONS) as writer:
        writer.append(intervention)
        writer.sync()


def read_interventions(root: Path) -> list[Intervention]:
    """Return the decisions of a run, in order; a line that came twice, from a mirror, is one."""
    path = root / INTERVENTIONS
    lines = read_lines(path, Intervention) if path.exists() else []
    by_number = {line.number: line for line in lines}
    return [by_number[number] for number in sorted(by_number)]


def gave_up(root: Path) -> str | None:
    """Return why the run stopped itself and what to try, if it did."""
    found = read_interventions(root)
    if not found or found[-1].remedy != "stop":
        return None
    last, earlier = found[-1], found[:-1]
    told = "".join(f"\n  {each.number}. {each.sentence()}" for each in earlier)
    return (
        f"training diverged: {last.what} {last.value:.4g} at step {last.found_at}"
        + (f" (allowed {last.limit:.4g})" if last.limit != float("inf") else "")
        + (f", after {len(earlier)} rollbacks:{told}\n" if earlier else ". ")
        + "Try a lower schedule.peak or a longer warm-up, guard: {on_spike: skip} where one part "
        "of the data is to blame, or precision: fp32; if the very first steps fail, check the "
        "weights it started from. The record of every step is kept beside the checkpoints"
    )
