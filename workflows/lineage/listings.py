"""Source files in the listings of a store: which listing names a file, and under what name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflows.errors import RefError
from workflows.lineage.graph import ArtifactGraph, Node
from workflows.lineage.lookup import parquet_rows
from workflows.lineage.plain import plain

_SHOWN = 5


@dataclass(frozen=True)
class ListedFile:
    """A file that one or more listings name."""

    name: str
    uri: str
    """Where it lay when the newest of the listings was made."""
    bytes: int
    xxh3_128: str
    listings: tuple[Node, ...]


def find_listed(graph: ArtifactGraph, ref: str) -> ListedFile | None:
    """Return the source file that a name or path means; None where no listing has it.

    The whole name, the whole path, or an ending of the name from a '/' on that only one file has.

    Raises:
        RefError: several files end so; names some of them.
    """
    here = str(Path(ref).absolute())
    exact: list[tuple[Node, dict[str, Any]]] = []
    ending: list[tuple[Node, dict[str, Any]]] = []
    for node in graph.nodes:
        if node.makes != "listing":
            continue
        for row in rows_of(node):
            if ref in (row["name"], row["uri"]) or here == row["uri"]:
                exact.append((node, row))
            elif f"/{row['name']}".endswith(f"/{ref}"):
                ending.append((node, row))
    found = exact or ending
    names = sorted({row["name"] for _, row in found})
    if len(names) > 1:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        shown = plain(", ".join(names[:_SHOWN]))
        raise RefError(
            f"{len(names)} source files answer to {ref!r}: {shown}{more}. Write more of the name."
        )
    if not found:
        return None
    newest = found[-1][1]
    return ListedFile(
        name=newest["name"],
        uri=newest["uri"],
        bytes=newest["bytes"],
        xxh3_128=newest["xxh3_128"],
        listings=tuple({node.folder: node for node, _ in found}.values()),
    )


def rows_of(listing: Node) -> list[dict[str, Any]]:
    """Return the files that a source artifact lists."""
    artifact = listing.load().as_input()
    return [
        row
        for path in artifact.paths("data")
        for row in parquet_rows(path, ["name", "uri", "bytes", "xxh3_128"])
    ]
