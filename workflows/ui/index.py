"""An index of a store's runs and artifacts, remembered by file size and time of change."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from pipelines import storage
from pipelines.errors import StoreError
from pipelines.storage import StorePath
from pipelines.workspace import cache_of
from workflows.artifact import MANIFEST, load
from workflows.journal import Journal, runs_folder
from workflows.ui.journals import summarise
from workflows.ui.values import ArtifactRow, RunRow

JOURNAL = "events.jsonl"
_VERSION = 1
_FILE = "ui-index.json"

Row = TypeVar("Row")


class Remembered(TypedDict, Generic[Row]):
    """A row and the state of the file it was read from."""

    size: int
    changed: int
    row: Row


class _Memory(TypedDict):
    version: int
    runs: dict[str, Remembered[RunRow]]
    artifacts: dict[str, Remembered[ArtifactRow]]


_MEMORY = TypeAdapter(_Memory)


class Index:
    """Rows of all runs and artifacts; `refresh` reads only files that changed."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.runs: dict[str, RunRow] = {}
        """By run id, newest first."""
        self.artifacts: dict[str, ArtifactRow] = {}
        """By path relative to the store, oldest first."""
        self.problems: list[str] = []
        """Files that could not be read, a sentence each."""
        self.read = 0
        """Files the last refresh had to open."""
        self._memory = _recall(store)

    def refresh(self) -> None:
        """Look at every journal and manifest; opens those whose size or time changed."""
        self.problems, self.read = [], 0
        before = self._memory
        runs = self._fresh(_journals(self.store), before["runs"], self._run)
        artifacts = self._fresh(_manifests(self.store), before["artifacts"], self._artifact)
        self._memory = {"version": _VERSION, "runs": runs, "artifacts": artifacts}
        by_start = sorted(runs.items(), key=lambda item: (item[1]["row"]["started"], item[0]))
        self.runs = {run_id: kept["row"] for run_id, kept in reversed(by_start)}
        by_age = sorted(artifacts.items(), key=lambda item: item[1]["row"]["created"])
        self.artifacts = {path: kept["row"] for path, kept in by_age}
        if self.read or len(before["artifacts"]) != len(artifacts):
            _remember(self.store, self._memory)

    def consumers(self, path: str) -> list[ArtifactRow]:
        """Return the artifacts that were made from one, newest first."""
        return [row for row in reversed(self.artifacts.values()) if path in row["inputs"]]

    def _fresh(
        self,
        files: Iterator[tuple[str, StorePath]],
        before: dict[str, Remembered[Row]],
        read: Callable[[StorePath], tuple[Row, bool] | None],
    ) -> dict[str, Remembered[Row]]:
        """Return the rows of all files; a row that may change by itself is not remembered."""
        kept: dict[str, Remembered[Row]] = {}
        for name, path in files:
            try:
                stat = path.stat()
            except OSError:
                continue  # no journal yet, an unfinished artifact, or removed under our eyes
            known = before.get(name)
            if known and (known["size"], known["changed"]) == (stat.st_size, stat.st_mtime_ns):
                kept[name] = known
                continue
            self.read += 1
            found = read(path)
            if found is not None:
                row, settled = found
                changed = stat.st_mtime_ns if settled else 0
                kept[name] = {"size": stat.st_size, "changed": changed, "row": row}
        return kept

    def _run(self, path: StorePath) -> tuple[RunRow, bool] | None:
        try:
            row = summarise(Journal(path.parent))
        except (ValueError, KeyError, TypeError, StoreError, OSError) as error:
            self.problems.append(f"{path}: not a journal this version reads ({error!r:.200})")
            return None
        return (row, row["status"] != "RUNNING") if row else None

    def _artifact(self, path: StorePath) -> tuple[ArtifactRow, bool] | None:
        try:
            artifact = load(path.parent)
        except StoreError as error:
            self.problems.append(str(error))
            return None
        if artifact is None:
            return None
        m = artifact.manifest
        row: ArtifactRow = {
            "path": storage.relative(artifact.folder, self.store),
            "name": m.name,
            "kind": m.kind,
            "makes": m.makes,
            "digest": m.digest,
            "created": m.created,
            "run_id": m.run_id,
            "recipe": m.recipe,
            "rows": m.ledger.kept.rows,
            "unit": m.ledger.unit,
            "inputs": [ref.path for ref in m.inputs.values()],
        }
        return row, True


def _journals(store: Path) -> Iterator[tuple[str, StorePath]]:
    runs = runs_folder(store)
    if runs.is_dir():
        for folder in runs.iterdir():
            yield folder.name, folder / JOURNAL


def _manifests(store: Path) -> Iterator[tuple[str, StorePath]]:
    if not store.is_dir():
        return
    for kind in store.iterdir():
        if not kind.name.startswith("_") and kind.is_dir():
            for folder in kind.iterdir():
                yield f"{kind.name}/{folder.name}", folder / MANIFEST


def _recall(store: Path) -> _Memory:
    try:
        payload = (cache_of(store) / _FILE).read_bytes()
        memory = _MEMORY.validate_json(payload, strict=True)
    except (OSError, ValidationError):
        memory = None
    if memory is None or memory["version"] != _VERSION:
        return {"version": _VERSION, "runs": {}, "artifacts": {}}
    return memory


def _remember(store: Path, memory: _Memory) -> None:
    try:
        storage.write_bytes(cache_of(store) / _FILE, _MEMORY.dump_json(memory))
    except StoreError:
        return  # a store one may only read: the page works, its next start takes as long again
