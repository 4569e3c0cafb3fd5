"""Names that people give artifacts: a tag is a name for one, a pin keeps one with all its files.

    <store>/_refs/tags/<tag>.json            created by put-if-absent; replaced only on request
    <store>/_refs/pins/<artifact folder>.json

Both keep an artifact, and what it was built from, from `llada gc`. A pin also keeps what the
manifest does not name: training checkpoints, for example.
"""

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines import storage
from pipelines.errors import StoreError
from pipelines.storage import StorePath
from workflows.errors import RefError, UsageError

if TYPE_CHECKING:
    from workflows.artifact import Artifact

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Ref(BaseModel):
    """What a tag or a pin points to."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ref: str
    """The artifact's folder, relative to the store."""
    name: str
    kind: str
    digest: str
    created: str
    note: str = ""

    @property
    def label(self) -> str:
        """Short name for people: stage@digest."""
        return f"{self.name}@{self.digest[:12]}"


def tags_folder(store: StorePath) -> StorePath:
    """Return where the tags of a store lie."""
    return store / "_refs" / "tags"


def pins_folder(store: StorePath) -> StorePath:
    """Return where the pins of a store lie."""
    return store / "_refs" / "pins"


def tag(
    store: StorePath, artifact: "Artifact", name: str, *, note: str = "", move: bool = False
) -> Ref:
    """Name an artifact.

    Raises:
        UsageError: the name is not one, or names another artifact and `move` is not set.
        RefError: the artifact was removed meanwhile.
    """
    path = _tag_path(store, name)
    made = _ref(store, artifact, note)
    if not storage.put_if_absent(path, _payload(made)):
        before = _read(path)
        if before.ref == made.ref and not move:
            return before
        if not move:
            raise UsageError(
                f"the tag '{name}' points to {before.label} ({before.ref}) since {before.created}. "
                f"Choose another name, or move it: llada tag {made.ref} {name} --move"
            )
        storage.write_bytes(path, _payload(made))
    _still_there(store, made, path)
    return made


def pin(store: StorePath, artifact: "Artifact", *, note: str = "") -> Ref:
    """Keep an artifact whole; a second pin changes nothing. RefError where it just vanished."""
    made = _ref(store, artifact, note)
    path = pins_folder(store) / f"{artifact.folder.name}.json"
    if not storage.put_if_absent(path, _payload(made)):
        return _read(path)
    _still_there(store, made, path)
    return made


def delete_tag(store: StorePath, name: str) -> Ref:
    """Remove a tag, not what it points to; raises RefError where there is no such tag."""
    path = _tag_path(store, name)
    found = find_tag(store, name)
    if found is None:
        known = ", ".join(sorted(tags(store))) or "none"
        raise RefError(f"there is no tag '{name}' in {store}; there are: {known}.")
    path.unlink()
    return found


def unpin(store: StorePath, artifact: "Artifact") -> Ref:
    """Remove the pin of an artifact; raises RefError where it has none."""
    path = pins_folder(store) / f"{artifact.folder.name}.json"
    if not path.exists():
        known = ", ".join(sorted(pins(store))) or "none"
        raise RefError(f"{artifact.label} is not pinned in {store}; pinned: {known}.")
    found = _read(path)
    path.unlink()
    return found


def find_tag(store: StorePath, name: str) -> Ref | None:
    """Return what a tag points to, None where there is no such tag."""
    if not _TAG.fullmatch(name):
        return None
    path = _tag_path(store, name)
    return _read(path) if path.exists() else None


def tags(store: StorePath) -> dict[str, Ref]:
    """Return the tags of a store by name; raises StoreError for one that cannot be read."""
    return dict(_all(tags_folder(store)))


def pins(store: StorePath) -> dict[str, Ref]:
    """Return the pins of a store by artifact folder; raises StoreError for an unreadable one."""
    return dict(_all(pins_folder(store)))


def _all(folder: StorePath) -> Iterator[tuple[str, Ref]]:
    for name in storage.children(folder):
        if name.endswith(".json") and not name.startswith("."):
            yield name.removesuffix(".json"), _read(folder / name)


def _tag_path(store: StorePath, name: str) -> StorePath:
    if not _TAG.fullmatch(name):
        raise UsageError(
            f"found the tag name {name!r}; allowed: at most 100 letters, digits, '-', '_' and '.', "
            "a letter or digit first"
        )
    return tags_folder(store) / f"{name}.json"


def _ref(store: StorePath, artifact: "Artifact", note: str) -> Ref:
    target = artifact.ref(store)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Ref(
        ref=target.path,
        name=target.name,
        kind=target.kind,
        digest=target.digest,
        created=created,
        note=note,
    )


def _payload(ref: Ref) -> bytes:
    return (ref.model_dump_json(indent=1) + "\n").encode()


def _still_there(store: StorePath, ref: Ref, path: StorePath) -> None:
    """Look again after the name stands: a gc looks for names after it took the manifest away."""
    if not (store / ref.ref / "manifest.json").exists():
        path.unlink(missing_ok=True)
        raise RefError(f"{ref.label} was removed from {store} a moment ago: build it again first.")


def _read(path: StorePath) -> Ref:
    try:
        return Ref.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StoreError(
            f"{path}: not a tag or pin this version reads. Remove the file, then name the artifact "
            "again."
        ) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error}") from error
