"""What the journal of a run says of the run and of each of its stages."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from workflows.journal import Event, Journal
from workflows.liveness import writer_is_gone
from workflows.ui.values import RunRow, State, Status

_STATES: dict[str, State] = {"reused": "REUSED", "ran": "RAN", "resumed": "RESUMED"}


@dataclass
class StageStory:
    """What happened to one stage, as far as the journal tells."""

    name: str
    kind: str = ""
    state: State = "NOT_BEGUN"
    why: str = ""
    needs: dict[str, str] | None = None
    """slot -> stage, where the plan says it."""
    begun: dict[str, Any] = field(default_factory=dict)
    finished: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    checks: list[dict[str, Any]] = field(default_factory=list)
    started: float | None = None
    ended: float | None = None


@dataclass
class RunStory:
    """What happened in one run."""

    started: Event
    status: Status
    last: float
    stages: dict[str, StageStory]


def tell(events: Iterable[Event]) -> RunStory | None:
    """Return the story of a run, None where the journal has no beginning.

    Stages may interleave and begin again after a failure: the last word on a stage counts.
    """
    told = iter(events)
    first = next(told, None)
    if first is None or first.kind != "run_started":
        return None
    story = RunStory(first, "RUNNING", first.time, dict(_planned(first)))
    ended: str | None = None
    for event in told:
        story.last = max(story.last, event.time)
        if event.kind == "run_finished":
            ended = str(event.data.get("status"))
        elif event.stage is not None and event.kind != "metrics":
            _hear(story.stages.setdefault(event.stage, StageStory(event.stage)), event)
    story.status = _status(first, ended, story.last)
    if story.status != "RUNNING":
        for stage in story.stages.values():
            if stage.state == "RUNNING":
                stage.state = "INTERRUPTED"
    return story


def losses(journal: Journal, stage: str) -> list[float | None]:
    """Return the losses a stage has written so far."""
    found = (one for one in journal.events() if one.kind == "metrics" and one.stage == stage)
    return [event.data["values"].get("loss") for event in found]


def summarise(journal: Journal) -> RunRow | None:
    """Return the line of a run in the list, None where the journal has no beginning."""
    story = tell(journal.milestones())
    return row_of(journal.folder.name, story) if story else None


def row_of(run_id: str, story: RunStory) -> RunRow:
    """Return the line of a run; the folder's name counts, whatever the journal calls itself."""
    data = story.started.data
    return {
        "run_id": run_id,
        "recipe": str(data.get("recipe", "")),
        "status": story.status,
        "started": story.started.time,
        "seconds": round(story.last - story.started.time, 3),
        "stages": len(story.stages),
        "counts": dict(Counter(stage.state for stage in story.stages.values())),
        "command": str(data.get("command", "")),
        "commit": data.get("commit"),
    }


def _planned(started: Event) -> Iterator[tuple[str, StageStory]]:
    for row in started.data.get("plan", ()):
        name = str(row["name"])
        state: State = "DRIFT" if row.get("verdict") == "DRIFT" else "NOT_BEGUN"
        yield (
            name,
            StageStory(
                name,
                kind=str(row.get("kind", "")),
                state=state,
                why=str(row.get("why", "")),
                needs=row.get("needs"),
            ),
        )


def _hear(stage: StageStory, event: Event) -> None:
    data = dict(event.data)
    if event.kind == "stage_started":
        stage.begun, stage.finished, stage.error, stage.checks = data, {}, None, []
        stage.kind = str(data.get("kind", stage.kind))
        stage.why = str(data.get("why", stage.why))
        stage.state, stage.started, stage.ended = "RUNNING", event.time, None
    elif event.kind == "stage_finished":
        stage.finished, stage.ended = data, event.time
        stage.state = _STATES.get(str(data.get("cache")), "RAN")
        if stage.state == "REUSED" and "(drift accepted" in stage.why:
            stage.state = "DRIFT"
    elif event.kind == "stage_failed":
        stage.error, stage.ended = str(data.get("error", "")), event.time
        stage.checks = list(data.get("checks", ()))
        refused = any(not check.get("ok", True) for check in stage.checks)
        stage.state = "QUARANTINED" if refused or data.get("quarantined") else "FAILED"


def _status(started: Event, ended: str | None, last: float) -> Status:
    if ended == "FINISHED":
        return "FINISHED"
    if ended == "KILLED":
        return "KILLED"
    if ended is not None:
        return "FAILED"
    if {"pid", "host"} <= started.data.keys() and not writer_is_gone(started, last):
        return "RUNNING"
    return "INTERRUPTED"
