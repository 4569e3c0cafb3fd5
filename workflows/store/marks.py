"""What keeps an artifact: a tag, a pin, a recent or live run, a live lease, or a kept product."""

import re
from calendar import timegm
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import strptime

from pipelines import storage
from workflows.artifact import Artifact, all_artifacts, load
from workflows.store import refs
from workflows.store.activity import Activity, RunRecord
from workflows.store.leases import holder

DAY = 86400.0
_GENERATION = re.compile(r"\.g(\d+)$")


class Marks:
    """The kept folders of a store and why; `read()` looks again at everything that can change."""

    def __init__(self, store: Path, keep_days: float, at: float) -> None:
        """Read the store's manifests once; `at` is the time by the store's clock.

        Raises:
            StoreError: a manifest, tag, pin or journal cannot be read: what it keeps is not known.
        """
        self.store = store
        self.at = at
        self.published: dict[str, Artifact] = {
            storage.relative(one.folder, store): one for one in all_artifacts(store)
        }
        self._since = at - keep_days * DAY
        self._activity = Activity(store)
        self._roots: dict[str, str] | None = None
        self._marked: dict[str, str] = {}

    def read(self) -> Mapping[str, str]:
        """Return `<kind>/<folder>` -> why it is kept, as of now."""
        roots: dict[str, str] = {}
        for folder, why in self._found():
            roots.setdefault(folder, why)
        if roots != self._roots:
            self._roots, self._marked = roots, self._with_ancestors(roots)
        return self._marked

    def _found(self) -> Iterator[tuple[str, str]]:
        for name, ref in refs.tags(self.store).items():
            yield ref.ref, f"tag '{name}'"
        for ref in refs.pins(self.store).values():
            yield ref.ref, "pinned"
        runs = self._activity.runs()
        for run in runs:
            if run.alive:
                yield from ((folder, f"run {run.run_id} goes on") for folder in self._named(run))
            elif run.last >= self._since:
                yield from ((folder, f"run {run.run_id}") for folder in run.used)
        for run in _latest(runs):
            why = f"latest finished run of '{run.recipe}'"
            yield from ((folder, why) for folder in run.used)
        for folder, artifact in self.published.items():
            if _seconds(artifact.manifest.created) >= self._since:
                yield folder, "built recently"
                continue
            busy = holder(self.store / folder / "_lease", self.at)
            if busy is not None and not busy.is_gc:
                yield folder, f"in use by {busy}"

    def _named(self, run: RunRecord) -> Iterator[str]:
        """Yield what a run that goes on uses or may use: every generation of its keys, too."""
        yield from run.used
        for key in run.keys:
            yield key
            kind, _, name = key.partition("/")
            for folder in self.published:
                if folder.startswith(f"{kind}/{name}.g"):
                    yield folder
            generation = 2
            while (self.store / kind / f"{name}.g{generation}").exists():
                yield f"{kind}/{name}.g{generation}"
                generation += 1

    def _with_ancestors(self, roots: Mapping[str, str]) -> dict[str, str]:
        marked = dict(roots)
        waiting = list(roots)
        while waiting:
            folder = waiting.pop()
            artifact = self.published.get(folder) or load(self.store / folder)
            if artifact is None:
                continue
            for ref in artifact.manifest.inputs.values():
                if ref.path not in marked:
                    marked[ref.path] = f"{artifact.label} was built from it"
                    waiting.append(ref.path)
        return marked


def folder_name(folder: Path) -> str:
    """Return `<kind>/<folder>` of an artifact's folder."""
    return f"{folder.parent.name}/{folder.name}"


def later_generations(folder: Path) -> Iterator[Path]:
    """Yield the generations of the same key that were begun after this one."""
    found = _GENERATION.search(folder.name)
    number = int(found[1]) if found else 1
    stem = folder.name[: found.start()] if found else folder.name
    while (later := folder.with_name(f"{stem}.g{(number := number + 1)}")).exists():
        yield later


def _latest(runs: list[RunRecord]) -> list[RunRecord]:
    """Return the last finished run of each recipe: whoever comes back finds it as it was left."""
    latest: dict[str, RunRecord] = {}
    for run in runs:
        if run.finished and (run.recipe not in latest or latest[run.recipe].last < run.last):
            latest[run.recipe] = run
    return list(latest.values())


def _seconds(created: str) -> float:
    return timegm(strptime(created[:19], "%Y-%m-%dT%H:%M:%S"))
