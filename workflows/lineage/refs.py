"""What a person may call an artifact: stage, stage@digest, folder, tag, model alias, source file.

The forms are tried in the order of the table at the end of this file; the first that answers wins.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipelines.storage import StorePath
from workflows.artifact import Artifact
from workflows.errors import RefError
from workflows.lineage.graph import ArtifactGraph, Identity, Node, read_graph
from workflows.lineage.listings import ListedFile, find_listed
from workflows.stage import nearest
from workflows.store.refs import find_tag
from workflows.tracking.progress import tracking_uri_for

_MODEL = "models:/"


@dataclass(frozen=True)
class Found:
    """What a reference names: an artifact, or a file that sources have listed."""

    node: Node | None = None
    file: ListedFile | None = None


def find(graph: ArtifactGraph, ref: str) -> Found:
    """Return what a reference names, an artifact or a source file.

    Raises:
        RefError: nothing answers to it, or more than one thing; names what there is.
    """
    node = _artifact(graph, ref)
    if node is not None:
        return Found(node=node)
    file = find_listed(graph, ref)
    if file is not None:
        return Found(file=file)
    raise _nothing(graph, ref, ", and no source file is called so")


def find_artifact(graph: ArtifactGraph, ref: str) -> Node:
    """Return the artifact that a reference names; of several the newest.

    Raises:
        RefError: none answers to it; names what there is.
    """
    node = _artifact(graph, ref)
    if node is None:
        raise _nothing(graph, ref, "")
    return node


def resolve(store: StorePath, ref: str) -> Artifact:
    """Return the published artifact that a person's reference names, with its whole manifest.

    Raises:
        RefError: none answers to it; names what there is.
    """
    return find_artifact(read_graph(store), ref).load()


def _artifact(graph: ArtifactGraph, ref: str) -> Node | None:
    for form in FORMS.values():
        node = form(graph, ref)
        if node is not None:
            return node
    return None


def _nothing(graph: ArtifactGraph, ref: str, besides: str) -> RefError:
    names = sorted({node.name for node in graph.nodes})
    there = f"it has {', '.join(names)}." if names else "it is empty: run a recipe first."
    hint = nearest(ref.partition("@")[0], names)
    return RefError(f"no artifact answers to {ref!r} in {graph.store}{besides}; {there}{hint}")


def _model_alias(graph: ArtifactGraph, ref: str) -> Node | None:
    """Answer to models:/NAME@ALIAS and models:/NAME/VERSION by what MLflow has registered."""
    if not ref.startswith(_MODEL):
        return None
    from workflows.tracking.registry import resolve_alias  # imports MLflow when asked

    local = Path(tracking_uri_for(graph.store).removeprefix("sqlite:///"))
    if local.is_absolute() and not local.exists():  # asking MLflow would make an empty database
        raise RefError(f"{ref}: nothing was tracked yet in {graph.store}: no {local.name} is there")
    output, _ = resolve_alias(ref, tracking_uri_for(graph.store))
    name, _, digest = output.partition("@")
    found = graph.by_identity.get(Identity(name, digest))
    if not found:
        raise RefError(
            f"{ref} is {name}@{digest[:12]}, which is not in {graph.store}: it was removed, or "
            "lies in another store. Name that one with --store."
        )
    return found[-1]


def _folder(graph: ArtifactGraph, ref: str) -> Node | None:
    """Answer to the folder of an artifact: relative to the store, to here, or absolute."""
    direct = graph.by_path.get(ref.rstrip("/"))
    if direct is not None:
        return direct
    path = Path(ref)
    inside = str(path.resolve()) if path.is_dir() else ref.rstrip("/")
    return next((node for node in graph.nodes if str(node.folder) == inside), None)


def _tag(graph: ArtifactGraph, ref: str) -> Node | None:
    tagged = find_tag(graph.store, ref)
    if tagged is None:
        return None
    node = graph.by_path.get(str(PurePosixPath(tagged.ref)))
    if node is None or not node.digest.startswith(tagged.digest):
        raise RefError(
            f"the tag '{ref}' points to {tagged.label}, but {graph.store / tagged.ref} is gone. "
            f"Move it to another artifact (llada tag REF {ref} --move) or remove it (llada tag "
            f"--delete {ref})."
        )
    return node


def _stage(graph: ArtifactGraph, ref: str) -> Node | None:
    """Answer to a stage's name, name@digest and the beginning of a folder's name."""
    name, _, digest = ref.partition("@")
    if not name:
        return None
    fitting = [node for node in graph.nodes if node.digest.startswith(digest)]
    exact = [node for node in fitting if node.name == name]
    begun = [n for n in fitting if len(name) > len(n.name) + 1 and n.folder.name.startswith(name)]
    found = exact or begun
    return found[-1] if found else None


FORMS: Mapping[str, Callable[[ArtifactGraph, str], Node | None]] = {
    "model alias": _model_alias,
    "folder": _folder,
    "tag": _tag,
    "stage": _stage,
}
