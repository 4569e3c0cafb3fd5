"""The artifacts of a store as a graph: read once, walked up to sources and down to models.

An artifact is *what it is called and what it holds*: (name, digest). Two folders with the same
name and content are one artifact here, and a stage that passes its input through has its input's
digest but not its name, so a walk never runs in a circle.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.errors import StoreError
from pipelines.ledger import Count
from pipelines.storage import StorePath
from workflows.artifact import MANIFEST, Artifact, load


class Identity(NamedTuple):
    """What makes two artifacts the same one."""

    name: str
    digest: str


class Input(BaseModel):
    """Which artifact filled a slot, as a manifest names it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str
    kind: str
    digest: str
    path: str

    @property
    def identity(self) -> Identity:
        """What the artifact is called and holds."""
        return Identity(self.name, self.digest)


class Books(BaseModel):
    """The totals of a ledger."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    unit: str
    entered: Count
    kept: Count


class Node(BaseModel):
    """A published artifact, as much of it as a graph needs; `load` reads the rest."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str
    kind: str
    makes: str
    key: str
    digest: str
    inputs: Mapping[str, Input]
    ledger: Books
    created: str
    seconds: float
    run_id: str
    recipe: str
    folder: StorePath = Path()

    @property
    def identity(self) -> Identity:
        """What the artifact is called and holds."""
        return Identity(self.name, self.digest)

    @property
    def label(self) -> str:
        """Short name for people: stage@digest."""
        return f"{self.name}@{self.digest[:12]}"

    @property
    def is_listing(self) -> bool:
        """Whether it lists source files: where every chain begins."""
        return self.makes == "listing"

    def load(self) -> Artifact:
        """Return the whole manifest; raises StoreError where it was removed meanwhile."""
        artifact = load(self.folder)
        if artifact is None:
            raise StoreError(f"{self.folder}: the artifact was removed while it was being read")
        return artifact


@dataclass(frozen=True)
class ArtifactGraph:
    """Every published artifact of a store, oldest first, and which was made from which."""

    store: StorePath
    nodes: tuple[Node, ...]
    unreadable: tuple[StorePath, ...] = field(default=())
    """Manifests of another version: left out of the graph, and named."""

    @cached_property
    def by_identity(self) -> Mapping[Identity, tuple[Node, ...]]:
        """The folders of each artifact, oldest first."""
        return _grouped((node.identity, node) for node in self.nodes)

    @cached_property
    def by_path(self) -> Mapping[str, Node]:
        """Artifacts by the path of their folder, relative to the store."""
        return {path_of(node.folder): node for node in self.nodes}

    @cached_property
    def _consumers(self) -> Mapping[Identity, tuple[Node, ...]]:
        return _grouped(
            (identity, node)
            for node in self.nodes
            for identity in {ref.identity for ref in node.inputs.values()}
        )

    def filled_by(self, ref: Input) -> Node | None:
        """Return the artifact of a slot: the very folder, else the newest of the same content."""
        exact = self.by_path.get(ref.path)
        if exact is not None and exact.identity == ref.identity:
            return exact
        return self.by_identity.get(ref.identity, (None,))[-1]

    def parents(self, node: Node) -> list[Node]:
        """Return what an artifact was made from, as far as it is still there."""
        found = (self.filled_by(ref) for ref in node.inputs.values())
        return [parent for parent in found if parent is not None]

    def children(self, node: Node) -> tuple[Node, ...]:
        """Return what was made from an artifact, in every run of the store, oldest first."""
        return self._consumers.get(node.identity, ())

    def up(self, *start: Node) -> list[Node]:
        """Return the artifacts and all they were made from: one node each, inputs first."""
        return self._walk(start, self.parents)[::-1]

    def down(self, *start: Node) -> list[Node]:
        """Return the artifacts and all that was made from them, in an order of building."""
        return self._walk(start, self.children)

    def _walk(self, start: Iterable[Node], step: Callable[[Node], Iterable[Node]]) -> list[Node]:
        """Return all that is reached, each after everything that leads to it."""
        done: dict[Identity, Node] = {}
        open_: set[Identity] = set()
        stack: list[tuple[Node, Iterator[Node] | None]] = [(node, None) for node in start]
        while stack:
            node, coming = stack.pop()
            if node.identity in done or (coming is None and node.identity in open_):
                continue
            open_.add(node.identity)
            coming = iter(step(node)) if coming is None else coming
            following = next(coming, None)
            if following is None:
                done[node.identity] = node
                continue
            stack += [(node, coming), (following, None)]
        return list(done.values())[::-1]


def read_graph(store: StorePath) -> ArtifactGraph:
    """Read the manifests of a store, the needed fields only.

    A manifest that this version cannot read is listed in `unreadable`: one bad folder must not
    hide the lineage of all others.
    """
    nodes, unreadable = [], []
    for folder in published(store):
        try:
            payload = (folder / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed between listing and reading
        except OSError as error:
            raise StoreError(f"cannot read {folder / MANIFEST}: {error}") from error
        try:
            node = Node.model_validate_json(payload)
        except ValidationError:
            unreadable.append(folder)
            continue
        nodes.append(node.model_copy(update={"folder": folder}))
    nodes.sort(key=lambda node: node.created)
    return ArtifactGraph(store, tuple(nodes), tuple(unreadable))


def published(store: StorePath) -> Iterator[StorePath]:
    """Yield the folder of every published artifact, without reading any."""
    folders = [path.parent for path in store.glob(f"*/*/{MANIFEST}")]
    for folder in sorted(folders, key=lambda folder: (folder.parent.name, folder.name)):
        if not folder.parent.name.startswith("_"):
            yield folder


def path_of(folder: StorePath) -> str:
    """Return an artifact's folder relative to its store: `<kind>/<name>-<key12>`."""
    return f"{folder.parent.name}/{folder.name}"


def _grouped(pairs: Iterable[tuple[Any, Node]]) -> dict[Any, tuple[Node, ...]]:
    found: dict[Any, list[Node]] = {}
    for key, node in pairs:
        found.setdefault(key, []).append(node)
    return {key: tuple(nodes) for key, nodes in found.items()}
