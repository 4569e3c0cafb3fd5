"""Small recipes of real stages, and executors that go slowly, fail or count, for tests of runs."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.executors import InProcess
from pipelines.shards import ShardRecord
from pipelines.workspace import Resources, Stop, UnitWorker, WorkerFactory
from tests.support.documents import write_jsonl
from workflows.lease import Times
from workflows.plan import Planner
from workflows.recipe import Recipe, load_recipe
from workflows.runner import Runner, RunResult

QUICK = Times(beat=0.05, to_live=0.6, look=0.02)
FILES = 6
SHARDS = 12
RECIPE = """\
name: small
store: {store}
stages:
  docs: {{kind: source, config: {{paths: [{data}]}}}}
  text: {{kind: extract, needs: docs, config: {{unit_bytes: 6500}}}}
  clean: {{kind: filter, needs: text, config: {{rules: [gopher], min_language_score: 0.1}}}}
  other: {{kind: filter, needs: text, config: {{rules: [gopher], min_language_score: 0.2}}}}
  unique: {{kind: dedup, needs: clean}}
"""


def write_recipe(folder: Path, *, files: int = FILES, store: str = "store") -> Path:
    """Write a corpus of several small files and a recipe over it."""
    (folder / "data").mkdir(exist_ok=True)
    for number in range(files):
        write_jsonl(folder / "data" / f"{number}.jsonl", 8, start=number * 100)
    path = folder / "small.yaml"
    path.write_text(RECIPE.format(store=folder / store, data=folder / "data"))
    return path


def load(path: Path, **settings: str) -> Recipe:
    """Load a recipe; `clean__resources__timeout="1s"` sets `clean.resources.timeout`."""
    return load_recipe(path, {key.replace("__", "."): value for key, value in settings.items()})


def runner(recipe: Recipe, executor: InProcess | None = None, **more: Any) -> Runner:
    """Return a runner with quick leases."""
    force = more.pop("force", frozenset())
    planner = Planner(Path(recipe.store), Path(recipe.store).parent, force=force)
    return Runner(planner, executor or InProcess(), times=QUICK, **more)


def digests(result: RunResult) -> dict[str, str]:
    """Return stage -> content digest."""
    return {done.stage.name: done.artifact.manifest.digest for done in result.stages}


class Watched(InProcess):
    """Calls `before` with (stage, shard) ahead of each unit, and remembers what was computed."""

    def __init__(
        self, before: Callable[[str, str], None] = lambda _stage, _shard: None, cpus: float = 1.0
    ) -> None:
        super().__init__(cpus=cpus)
        self._before = before
        self.computed: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def map_units(
        self,
        factory: WorkerFactory,
        units: list[dict[str, Any]],
        resources: Resources,
        finished: Callable[[ShardRecord], None],
        stop: Stop,
    ) -> list[ShardRecord]:
        stage = threading.current_thread().name

        def watched() -> UnitWorker:
            worker = factory()

            def work(unit: Any) -> ShardRecord:
                self._before(stage, unit["shard"])
                record = worker(unit)
                with self._lock:
                    self.computed.append((stage, unit["shard"]))
                return record

            return work

        return super().map_units(watched, units, resources, finished, stop)

    def of(self, stage: str) -> list[str]:
        """Return the shards of a stage that were computed, in order."""
        return [shard for name, shard in self.computed if name == stage]
