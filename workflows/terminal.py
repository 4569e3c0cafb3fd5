"""What a person sees while a run goes on: one line a stage, with rate and time left."""

import sys
import time
from typing import TextIO

from pipelines.workspace import Progress
from workflows.plan import Planned
from workflows.runner import StageResult
from workflows.stage import Stage

_QUIET_SECONDS = 15.0
_LIVE_SECONDS = 0.2


class Terminal:
    """Rewrites one line on a terminal; in a log prints a plain line now and then."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._started = self._shown = 0.0
        self._first: Progress | None = None

    def stage_started(self, planned: Planned) -> None:
        """Say what is about to happen, and why."""
        self._started = self._shown = time.monotonic()
        self._first = None
        if planned.verdict != "REUSE":
            self._print(f"{planned.stage.name:<14} {planned.verdict:<7} {planned.why}")

    def progressed(self, stage: Stage, progress: Progress) -> None:
        """Show how far the stage is."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._started = progress, now
        pause = _LIVE_SECONDS if self._live else _QUIET_SECONDS
        if now - self._shown < pause:
            return
        self._shown = now
        line = f"{stage.name:<14} {_progress(progress, self._first, now - self._started)}"
        if self._live:
            self._stream.write(f"\r\x1b[2K{line[:118]}")
            self._stream.flush()
        else:
            self._print(line)

    def stage_finished(self, result: StageResult) -> None:
        """Close the stage's line with what it did."""
        if self._live:
            self._stream.write("\r\x1b[2K")
        ledger = result.artifact.manifest.ledger
        books = f"{ledger.entered.rows:,} {ledger.unit} in, {ledger.kept.rows:,} kept"
        if result.cache == "reused":
            self._print(f"{result.stage.name:<14} REUSED  {result.why} ({books})")
        else:
            done = "RESUMED" if result.cache == "resumed" else "DONE"
            self._print(f"{result.stage.name:<14} {done:<7} {books} in {result.seconds:.1f} s")

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def _progress(progress: Progress, first: Progress, seconds: float) -> str:
    share = progress.done / progress.total if progress.total else 1.0
    text = f"{progress.done:,.0f}/{progress.total:,.0f} {progress.unit} ({share:.0%})"
    made = progress.done - first.done
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
