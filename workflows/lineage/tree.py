"""The artifacts behind one, down to the source files, and all that was built from one, as trees."""

from collections.abc import Iterator
from typing import Any

from pipelines import storage
from workflows.lineage.graph import ArtifactGraph, Identity, Node
from workflows.lineage.listings import ListedFile, rows_of
from workflows.lineage.plain import plain
from workflows.lineage.sources import Reached

_FILES_SHOWN = 5


def up_text(graph: ArtifactGraph, node: Node) -> str:
    """Return what an artifact was made from, back to the source files."""
    return "\n".join(_up(graph, node, "", "", set()))


def down_text(graph: ArtifactGraph, node: Node) -> str:
    """Return everything that was built from an artifact in any run of the store."""
    lines = list(_down(graph, node, "", "", set()))
    built = graph.down(node)[1:]
    models = [one for one in built if one.makes == "model"]
    return "\n".join([*lines, f"{len(built)} artifacts, {len(models)} of them models"])


def _up(
    graph: ArtifactGraph, node: Node, first: str, rest: str, seen: set[Identity]
) -> Iterator[str]:
    again = node.identity in seen
    yield f"{first}{_line(node)}{'  (shown above)' if again else ''}"
    if again:
        return
    seen.add(node.identity)
    if node.is_listing:
        yield from (f"{rest}{line}" for line in _files(node))
    for number, (slot, ref) in enumerate(node.inputs.items(), start=1):
        turn, follow = _turn(number == len(node.inputs))
        parent = graph.filled_by(ref)
        if parent is None:
            yield f"{rest}{turn}{slot}: {ref.name} @{ref.digest[:12]}  (gone from {ref.path})"
            continue
        yield from _up(graph, parent, f"{rest}{turn}{slot}: ", f"{rest}{follow}", seen)


def _down(
    graph: ArtifactGraph, node: Node, first: str, rest: str, seen: set[Identity]
) -> Iterator[str]:
    again = node.identity in seen
    mark = "MODEL " if node.makes == "model" else ""
    yield f"{first}{mark}{_line(node)}{'  (shown above)' if again else ''}"
    if again:
        return
    seen.add(node.identity)
    children = list({child.identity: child for child in graph.children(node)}.values())
    for number, child in enumerate(children, start=1):
        turn, follow = _turn(number == len(children))
        yield from _down(graph, child, f"{rest}{turn}", f"{rest}{follow}", seen)


def _turn(last: bool) -> tuple[str, str]:
    return ("`- ", "   ") if last else ("|- ", "|  ")


def _line(node: Node) -> str:
    books = f"{node.ledger.kept.rows:,} {node.ledger.unit}"
    return f"{node.name} ({node.kind}) @{node.digest[:12]}  {books}, run {node.run_id}"


def _files(node: Node) -> Iterator[str]:
    rows = rows_of(node)
    for row in rows[:_FILES_SHOWN]:
        yield f"   {plain(row['name'])}  {row['bytes']:,} bytes  xxh3 {row['xxh3_128'][:12]}"
    if len(rows) > _FILES_SHOWN:
        yield f"   ... and {len(rows) - _FILES_SHOWN:,} more files"


def nodes_json(graph: ArtifactGraph, nodes: list[Node]) -> list[dict[str, Any]]:
    """Return artifacts as JSON values, with the inputs by which they hang together."""
    return [
        {
            "name": node.name,
            "kind": node.kind,
            "makes": node.makes,
            "digest": node.digest,
            "key": node.key,
            "path": storage.relative(node.folder, graph.store),
            "run": node.run_id,
            "recipe": node.recipe,
            "created": node.created,
            "rows": node.ledger.kept.rows,
            "unit": node.ledger.unit,
            "inputs": {
                slot: {"name": ref.name, "digest": ref.digest, "there": bool(graph.filled_by(ref))}
                for slot, ref in node.inputs.items()
            },
        }
        for node in nodes
    ]


def reach_json(graph: ArtifactGraph, file: ListedFile, found: list[Reached]) -> dict[str, Any]:
    """Return what a source file reached as JSON values."""
    rows = nodes_json(graph, [one.node for one in found])
    counts = ("how", "kept", "dropped", "held_out", "sequences")
    return {
        "file": {"name": file.name, "uri": file.uri, "xxh3_128": file.xxh3_128},
        "reached": [
            row | {key: getattr(one, key) for key in counts} | {"through": list(one.through)}
            for row, one in zip(rows, found, strict=True)
        ],
    }
