"""The way of one document: through each stage to its tokens and models, or to what dropped it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pipelines.errors import StoreError
from pipelines.shards import Role
from pipelines.storage import StorePath
from workflows.artifact import Artifact
from workflows.errors import RefError
from workflows.lineage.graph import ArtifactGraph, Identity, Node
from workflows.lineage.lookup import Hit, Wanted, hits, hits_in, row_of

SHORTEST_PREFIX = 6
_SHOWN = 5

Fate = Literal["kept", "dropped", "packed", "held out", "answered"]

_FATES: Mapping[tuple[str, Role], Fate] = {
    ("documents", "rejects"): "dropped",
    ("documents", "data"): "kept",
    ("tokens", "data"): "packed",
    ("tokens", "validation"): "held out",
    ("pairs", "data"): "packed",
    ("pairs", "validation"): "held out",
    ("report", "report"): "answered",
}
"""What it means to stand in a file of that role, by what the artifact is."""


@dataclass(frozen=True)
class Step:
    """What one stage did with a document."""

    node: Node
    fate: Fate
    hits: tuple[Hit, ...]

    @cached_property
    def artifact(self) -> Artifact:
        """The artifact with its whole manifest."""
        return self.node.load()

    @cached_property
    def row(self) -> dict[str, Any]:
        """The document as this stage left it; {} for tokens, which hold no rows of text."""
        first = self.hits[0]
        is_table = first.entry.path.endswith(".parquet")
        return row_of(self.artifact.as_input(), first) if is_table else {}


@dataclass(frozen=True)
class Trained:
    """A model that learned from the document: by itself, or because it began as one that had."""

    node: Node
    through: tuple[str, ...]
    """Labels of the artifacts that brought the document to it."""


@dataclass(frozen=True)
class Chain:
    """The stages that one run built, with what they were made from and what was made of them."""

    run_id: str
    recipe: str
    steps: tuple[Step, ...]
    models: tuple[Trained, ...]

    @property
    def dropped(self) -> Step | None:
        """Where the document's way ends, None where it was kept to the end."""
        return next((step for step in self.steps if step.fate == "dropped"), None)


@dataclass(frozen=True)
class Trace:
    """All ways of a document, the newest first."""

    doc_id: str
    chains: tuple[Chain, ...]
    steps: tuple[Step, ...] = field(default=())
    """Every artifact of the store that has met it, oldest first."""
    damaged: tuple[str, ...] = ()
    """What could not be looked into, and why."""


def trace(graph: ArtifactGraph, doc_id: str) -> Trace:
    """Follow a document through every artifact of a store.

    Args:
        graph: The store.
        doc_id: An id, or at least six characters of its beginning.

    Raises:
        RefError: no artifact has met it, or several documents begin so.
    """
    search = _Search()
    whole = _whole_id(graph, doc_id, search)
    steps = tuple(_steps(graph, whole, search))
    return Trace(whole, tuple(_chains(graph, steps)), steps, tuple(search.damaged))


@dataclass(frozen=True)
class _Search:
    """What one search has learned so far."""

    damaged: dict[str, None] = field(default_factory=dict)
    known: dict[StorePath, str] = field(default_factory=dict)
    """Artifact -> the file in which the document was met first."""


def _whole_id(graph: ArtifactGraph, text: str, search: _Search) -> str:
    """Return the document id that a text is, or is the beginning of."""
    if not graph.nodes:
        raise RefError(
            f"{graph.store} holds no artifacts, so no stage has met the document '{text}'. Name "
            "the folder of the results with --store."
        )
    found: set[str] = set()
    for wanted in (Wanted(text), Wanted(text, whole=False)):
        if not wanted.whole and len(text) < SHORTEST_PREFIX:
            break
        for node in _first_to_meet(graph):
            try:
                found |= _ids(node, wanted, search)
            except StoreError as error:
                search.damaged[str(error)] = None
            if wanted.whole and found:
                return text
    if len(found) > 1:
        shown = ", ".join(sorted(found)[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise RefError(f"{len(found)} documents begin with {text!r}: {shown}{more}. Write more.")
    if not found:
        short = len(text) < SHORTEST_PREFIX
        left_out = f" Left out was {'; '.join(search.damaged)}" if search.damaged else ""
        hint = f" The beginning of an id needs {SHORTEST_PREFIX} characters." if short else ""
        raise RefError(
            f"no stage in {graph.store} has met the document '{text}'.{hint} Ids of dropped "
            f"documents stand in the column doc_id of <artifact>/rejects/*.parquet.{left_out}"
        )
    return found.pop()


def _ids(node: Node, wanted: Wanted, search: _Search) -> set[str]:
    """Return the wanted ids of an artifact; of a whole id, where the first file has it, just it."""
    found: set[str] = set()
    artifact = node.load().as_input()
    for role in _roles(node):
        for entry in artifact.entries(role):
            met = {hit.doc_id for hit in hits_in(artifact, entry, wanted)}
            if met:
                search.known[node.folder] = entry.path
            found |= met
            if wanted.whole and found:
                return found
    return found


def _first_to_meet(graph: ArtifactGraph) -> Iterable[Node]:
    """Yield where documents enter the store: every id stands in one of these."""
    seen: set[Identity] = set()
    for node in graph.nodes:
        inherits = any(parent.makes in _MET and _roles(node) for parent in graph.parents(node))
        if _roles(node) and not inherits and node.identity not in seen:
            seen.add(node.identity)
            yield node


_MET = {"documents", "tokens", "pairs"}


def _roles(node: Node) -> tuple[Role, ...]:
    return tuple(role for makes, role in _FATES if makes == node.makes)


def _steps(graph: ArtifactGraph, doc_id: str, search: _Search) -> list[Step]:
    """Look for a document where it can be: in what was made from artifacts that kept it."""
    likely: dict[Identity, int] = {}
    steps: list[Step] = []
    for one in graph.down(*_first_to_meet(graph)):
        if not _roles(one):
            continue
        for node in graph.by_identity[one.identity]:
            parents = [parent for parent in graph.parents(node) if parent.makes in _MET]
            kept = [likely[p.identity] for p in parents if p.identity in likely]
            if parents and not kept:
                continue
            try:
                known = search.known.get(node.folder)
                step = _step(node, doc_id, max(kept, default=0), known)
            except StoreError as error:  # the others still tell the rest of its way
                search.damaged[str(error)] = None
                continue
            if step is not None:
                steps.append(step)
                if step.fate != "dropped":
                    likely[node.identity] = _number(step)
    return sorted(steps, key=lambda step: step.node.created)


def _step(node: Node, doc_id: str, likely: int, known: str | None) -> Step | None:
    artifact = node.load().as_input()
    found = hits(artifact, _roles(node), Wanted(doc_id), likely, known)
    if not found:
        return None
    return Step(node, _FATES[node.makes, found[0].entry.role], tuple(found))


def _number(step: Step) -> int:
    """Return which of the data files a document is in, counted as the next stage counts them."""
    entry = step.hits[0].entry
    entries = step.artifact.as_input().entries(entry.role)
    return [other.path for other in entries].index(entry.path)


def _chains(graph: ArtifactGraph, steps: Sequence[Step]) -> Iterable[Chain]:
    """Group what met a document by the run that built it; what only repeats a newer chain is left.

    A run's chain is what it built, what that was made from, and of each stage after it the newest.
    """
    shown: set[str] = set()
    at = {str(step.node.folder): step for step in steps}
    for run in dict.fromkeys(step.node.run_id for step in reversed(steps)):
        own = [step.node for step in steps if step.node.run_id == run]
        if all(str(node.folder) in shown for node in own):
            continue
        nodes = _chain_nodes(graph, own)
        mine = [at[str(node.folder)] for node in nodes if str(node.folder) in at]
        shown.update(str(step.node.folder) for step in mine)
        yield Chain(run, own[-1].recipe, tuple(mine), tuple(_models(graph, nodes, mine)))


def _chain_nodes(graph: ArtifactGraph, own: Sequence[Node]) -> list[Node]:
    before = {node.name: node for node in graph.up(*own)}
    chosen = dict(before)

    def fits(node: Node) -> bool:
        parents = graph.parents(node)
        return all(chosen.get(p.name, p).identity == p.identity for p in parents)

    for one in graph.down(*own):
        if one.name in before:
            continue
        for node in graph.by_identity[one.identity]:
            rival = chosen.get(node.name)
            if fits(node) and (rival is None or rival.created < node.created):
                chosen[node.name] = node
    return [node for node in chosen.values() if node.name in before or fits(node)]


def _models(graph: ArtifactGraph, nodes: Sequence[Node], steps: Sequence[Step]) -> list[Trained]:
    """Return the models of a chain that learned from the document."""
    carriers = {step.node.identity for step in steps if step.fate == "packed"}
    found = []
    for node in nodes:
        if node.makes != "model":
            continue
        through = [ref for ref in node.inputs.values() if ref.identity in carriers]
        if through:
            carriers.add(node.identity)
            names = tuple(f"{ref.name}@{ref.digest[:12]}" for ref in through)
            found.append(Trained(node, names))
    return found
