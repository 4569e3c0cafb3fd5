"""What a source file became: every artifact and model it reached, and how surely.

Documents carry the name of their file, so documents and token shards are counted: exact. A
tokenizer, a model and a report carry no documents: what was made from something that holds the
file's documents is named as reached, which is at most true (a tokenizer reads a part of its input,
a short training draws some of its sequences).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from workflows.lineage.graph import ArtifactGraph, Identity, Node
from workflows.lineage.listings import ListedFile
from workflows.lineage.lookup import ids_where, sequences_with
from workflows.lineage.plain import plain

How = Literal["counted", "at most"]


@dataclass(frozen=True)
class Reached:
    """An artifact that a source file reached."""

    node: Node
    how: How
    kept: int = 0
    """Documents of the file in it (counted artifacts)."""
    dropped: int = 0
    held_out: int = 0
    sequences: int = 0
    through: tuple[str, ...] = ()
    """The artifacts that brought it here, where it cannot be counted."""

    @property
    def goes_on(self) -> bool:
        """Whether what is made from this artifact can hold something of the file."""
        return self.how == "at most" or bool(self.kept or self.held_out or self.node.is_listing)


Ids = dict[Identity, pa.ChunkedArray]
"""The file's documents in each artifact that keeps documents."""


def reach(graph: ArtifactGraph, file: ListedFile) -> list[Reached]:
    """Return every artifact of the store that a source file reached, in an order of building.

    Followed are the file's own documents; that they changed what happened to other documents
    (a duplicate kept elsewhere, a classifier that learned from them) is not.
    """
    ids: Ids = {}
    reached: dict[Identity, Reached] = {}
    for node in graph.down(*file.listings):
        if node.is_listing:
            reached[node.identity] = Reached(node, "counted")
            continue
        inputs = [
            reached[ref.identity]
            for ref in node.inputs.values()
            if ref.identity in reached and reached[ref.identity].goes_on
        ]
        if not inputs:
            continue
        found = COUNTED.get(node.makes, _not_counted)(node, file, inputs, ids)
        if found is not None:
            reached[node.identity] = found
    return list(reached.values())


def _documents(node: Node, file: ListedFile, _: list[Reached], ids: Ids) -> Reached | None:
    artifact = node.load().as_input()
    kept = [ids_where(path, "source", file.name) for path in artifact.paths("data")]
    dropped = [ids_where(path, "source", file.name) for path in artifact.paths("rejects")]
    chunks = [chunk for column in kept for chunk in column.chunks]
    ids[node.identity] = pa.chunked_array(chunks, pa.string())
    counts = len(ids[node.identity]), sum(len(column) for column in dropped)
    return Reached(node, "counted", *counts) if any(counts) else None


def _tokens(node: Node, file: ListedFile, inputs: list[Reached], ids: Ids) -> Reached | None:
    known = [ids[r.identity] for r in node.inputs.values() if r.identity in ids]
    wanted = pa.chunked_array([c for column in known for c in column.chunks], pa.string())
    artifact = node.load().as_input()
    found = [sequences_with(path, wanted) for path in artifact.paths("data")]
    held = [sequences_with(path, wanted) for path in artifact.paths("validation")]
    documents, held_out = sum(n for n, _ in found), sum(n for n, _ in held)
    if not documents and not held_out:
        return _not_counted(node, file, inputs, ids)
    sequences = sum(n for _, n in found)
    return Reached(node, "counted", documents, held_out=held_out, sequences=sequences)


def _not_counted(node: Node, _: ListedFile, inputs: list[Reached], __: Ids) -> Reached | None:
    # A model trains on the data of its shards, not on what they hold out.
    through = [one for one in inputs if one.how == "at most" or one.kept or node.makes != "model"]
    if not through:
        return None
    return Reached(node, "at most", through=tuple(one.node.label for one in through))


COUNTED: Mapping[str, Callable[[Node, ListedFile, list[Reached], Ids], Reached | None]] = {
    "documents": _documents,
    "tokens": _tokens,
}
"""What an artifact makes -> how the documents of a file are counted in it."""


def reach_text(file: ListedFile, found: list[Reached]) -> str:
    """Return what a source file reached as a table, models marked."""
    lines = [
        f"{plain(file.name)}  {file.bytes:,} bytes  xxh3 {file.xxh3_128[:12]}",
        f"  {plain(file.uri)}",
        *(_line(one) for one in found),
    ]
    models = sum(one.node.makes == "model" for one in found)
    lines.append(f"reached {len(found)} artifacts, {models} of them models.")
    if any(one.how == "at most" for one in found):
        lines.append(
            "'at most': made from artifacts that hold its documents, and not counted itself; a "
            "tokenizer\nreads a part of its input, a short training draws some of its sequences."
        )
    if found and all(not one.goes_on for one in found if not one.node.is_listing):
        lines.append("no document of it was kept.")
    return "\n".join(lines)


def _line(one: Reached) -> str:
    mark = "MODEL" if one.node.makes == "model" else ""
    name = f"{one.node.name} ({one.node.kind}) @{one.node.digest[:12]}"
    return f"  {mark:<5} {name:<42} {'; '.join(_facts(one))}".rstrip()


def _facts(one: Reached) -> Iterator[str]:
    if one.node.is_listing:
        yield "listed"
    elif one.how == "at most":
        yield f"at most, through {', '.join(one.through)}"
    elif one.node.makes == "tokens":
        yield f"{one.kept:,} documents in {one.sequences:,} sequences"
        if one.held_out:
            yield f"{one.held_out:,} held out"
    else:
        yield f"{one.kept:,} documents kept, {one.dropped:,} dropped"
    yield f"run {one.node.run_id}"
