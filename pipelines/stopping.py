"""How work is told to end early: a sign that lies in the store, where every worker can see it.

A worker looks before each unit, never inside one: what is in flight is finished and recorded. So
the same sign serves Ctrl-C, a lost lease and the workers of a driver that died: they outlive it,
see that a successor took over, and stop by themselves.
"""

from dataclasses import dataclass

from pipelines.storage import StorePath


class Stopped(Exception):  # noqa: N818  nothing went wrong: someone asked
    """The work ended before it was done; what was finished by then is kept."""


@dataclass(frozen=True)
class StopSign:
    """What a worker reads before each unit; it travels to the workers."""

    asked: StorePath
    """Exists once someone asked this attempt to finish what is in flight and end."""
    successor: StorePath
    """Exists once another run holds the stage's lease: this attempt lost it."""

    def reason(self) -> str | None:
        """Return why to stop, None to go on."""
        if self.successor.exists():
            return "another run took this stage over"
        if self.asked.exists():
            return "it was asked to stop"
        return None
