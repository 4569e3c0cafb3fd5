"""What a person sees while a run goes on: one line a stage, with rate and time left."""

import sys
import time
from typing import TextIO, cast

from pipelines.storage import StorePath, explained
from pipelines.workspace import Progress
from workflows.attempt import StageResult
from workflows.plan import Planned
from workflows.stage import Stage

_QUIET_SECONDS = 15.0
_LIVE_SECONDS = 0.2
_WIDTH = 118
_CLEAR = "\r\x1b[2K"


class Terminal:
    """Rewrites one line on a terminal, shared by what runs; in a log prints one now and then."""

    def __init__(self, stream: TextIO | None = None, pause: float | None = None) -> None:
        """Write to standard error where no stream is given, and not oftener than `pause` (s)."""
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        usual = _LIVE_SECONDS if self._live else _QUIET_SECONDS
        self._pause = usual if pause is None else pause
        self._meters: dict[str, _Meter] = {}
        self._shown: dict[str, float] = {}
        self._said: dict[str, str] = {}

    @classmethod
    def into(cls, path: StorePath) -> "Terminal":
        """Return one that writes into a file, made when there is something to say."""
        return cls(cast(TextIO, _Late(path)))

    def stage_started(self, planned: Planned) -> None:
        """Say what is about to happen, and why."""
        name = planned.stage.name
        self._shown[name] = time.monotonic()
        if planned.verdict != "REUSE":
            self._print(f"{name:<14} {planned.verdict:<7} {planned.why}")

    def progressed(self, stage: Stage, progress: Progress) -> None:
        """Show how far the stage is."""
        now = time.monotonic()
        meter = self._meters.get(stage.name)
        if meter is None or meter.latest.unit != progress.unit:  # something else is counted now
            meter = self._meters[stage.name] = _Meter(progress, now)
        meter.latest = progress
        if self._is_due(stage.name, now):
            self._show(stage, meter.line(now))

    def listed(self, stage: Stage, progress: Progress) -> None:
        """Show how far the look at a stage's sources is; nothing of it stays on a terminal."""
        self._shown.setdefault(stage.name, time.monotonic())  # what takes a moment is not shown
        if progress.done < progress.total:
            self.progressed(stage, progress)
            return
        self.stage_ended(stage)
        if self._live:
            self._stream.write(_CLEAR)
            self._stream.flush()

    def said(self, stage: Stage, message: str) -> None:
        """Print what is new; what changes only in its figures is shown like progress."""
        head = message.split(",", 1)[0]
        if self._said.get(stage.name) != head:
            self._said[stage.name] = head
            self._print(f"{stage.name:<14} {message}")
        elif self._is_due(stage.name, time.monotonic()):
            self._show(stage, message)

    def stage_finished(self, result: StageResult) -> None:
        """Close the stage's line with what it did."""
        self.stage_ended(result.stage)
        ledger = result.artifact.manifest.ledger
        books = f"{ledger.entered.rows:,} {ledger.unit} in, {ledger.kept.rows:,} kept"
        if result.cache == "reused":
            self._print(f"{result.stage.name:<14} REUSED  {result.why} ({books})")
        else:
            done = "RESUMED" if result.cache == "resumed" else "DONE"
            self._print(f"{result.stage.name:<14} {done:<7} {books} in {result.seconds:.1f} s")

    def stage_ended(self, stage: Stage) -> None:
        """Forget how far it was."""
        self._meters.pop(stage.name, None)
        self._said.pop(stage.name, None)

    def say(self, message: str) -> None:
        """Print a line that belongs to no stage."""
        self._print(message)

    def _is_due(self, name: str, now: float) -> bool:
        if now - self._shown.get(name, 0.0) < self._pause:
            return False
        self._shown[name] = now
        return True

    def _show(self, stage: Stage, line: str) -> None:
        if not self._live:
            self._print(f"{stage.name:<14} {line}")
            return
        others = [
            f"{name} {meter.share:.0%}"
            for name, meter in self._meters.items()
            if name != stage.name
        ]
        beside = f"  | {', '.join(others)}" if others else ""
        text = f"{stage.name:<14} {line}{beside}"
        self._stream.write(f"{_CLEAR}{text[:_WIDTH]}")
        self._stream.flush()

    def _print(self, line: str) -> None:
        clear = _CLEAR if self._live else ""
        print(f"{clear}{line}", file=self._stream, flush=True)


class _Late:
    """A text file that is opened by the first line written to it."""

    def __init__(self, path: StorePath) -> None:
        self._path = path

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        with explained(self._path), self._path.open("a", encoding="utf-8") as handle:
            return handle.write(text)

    def flush(self) -> None:
        """Nothing waits: each write closes the file."""


class _Meter:
    """How far one stage is, and how fast it went since it was first seen."""

    def __init__(self, first: Progress, now: float) -> None:
        self._first, self._started = first, now
        self.latest = first

    @property
    def share(self) -> float:
        return self.latest.done / self.latest.total if self.latest.total else 1.0

    def line(self, now: float) -> str:
        progress, seconds = self.latest, now - self._started
        text = f"{progress.done:,.0f}/{progress.total:,.0f} {progress.unit} ({self.share:.0%})"
        made = progress.done - self._first.done
        if made > 0 and seconds > 0:
            rate = made / seconds
            left = (progress.total - progress.done) / rate
            speed = f"{rate:,.1f}/s" if rate >= 0.5 else f"{rate * 60:,.1f}/min"
            text += f", {speed}, {_clock(left)} left"
        return f"{text}  {progress.note}".rstrip()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
