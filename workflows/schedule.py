"""Which stages may start: their inputs are there, and what they take fits beside what runs."""

from collections.abc import Callable, Collection, Sequence

from pipelines.workspace import Capacity
from workflows.stage import Stage


class Schedule:
    """Keeps the books of one run. What the machine has is asked once, and only if work starts."""

    def __init__(self, stages: Sequence[Stage], capacity: Callable[[], Capacity]) -> None:
        self._open = {stage.name: stage for stage in stages}
        self._running: dict[str, Stage] = {}
        self._ask = capacity
        self._capacity: Capacity | None = None

    def ready(self, done: Collection[str]) -> list[Stage]:
        """Return the stages not begun whose needs are all done, in the recipe's order."""
        return [
            stage
            for stage in self._open.values()
            if all(name in done for name in stage.needs.values())
        ]

    def fits(self, stage: Stage) -> bool:
        """Whether a stage fits beside those that run; alone, any stage does."""
        if not self._running:
            return True
        if self._capacity is None:
            self._capacity = self._ask()
        together = [*self._running.values(), stage]
        return (
            sum(one.resources.cpus for one in together) <= self._capacity.cpus
            and sum(one.resources.memory_gb for one in together) <= self._capacity.memory_gb
            and sum(one.resources.gpus for one in together) <= self._capacity.gpus
        )

    def started(self, stage: Stage) -> None:
        """Note that a stage runs."""
        self._running[stage.name] = self._open.pop(stage.name)

    def ended(self, stage: Stage) -> None:
        """Note that what a stage took is free again."""
        del self._running[stage.name]

    def finished(self, stage: Stage) -> None:
        """Note that a stage needs no start any more."""
        self._open.pop(stage.name, None)
