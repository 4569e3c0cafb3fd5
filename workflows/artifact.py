"""An artifact: a folder of files whose manifest, written last by put-if-absent, makes it exist."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines import storage
from pipelines.checks import CheckResult
from pipelines.errors import StoreError
from pipelines.ledger import Ledger
from pipelines.shards import FileEntry
from pipelines.storage import StorePath
from pipelines.workspace import InputArtifact
from workflows.stage import fingerprint

MANIFEST = "manifest.json"


class InputRef(BaseModel):
    """Which artifact filled a slot."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    kind: str
    digest: str
    path: str
    """Relative to the store."""


class Manifest(BaseModel):
    """Everything there is to know of an artifact; present = complete, absent = not there."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    kind: str
    makes: str
    key: str
    digest: str
    config: Mapping[str, Any]
    inputs: Mapping[str, InputRef]
    outside: Any = None
    files: tuple[FileEntry, ...]
    schema_text: str
    ledger: Ledger
    metrics: Mapping[str, float]
    info: Mapping[str, Any]
    version: int
    code_policy: str
    code_hash: str
    code_parts: Mapping[str, str]
    commit: str | None
    dirty_diff: str | None
    packages: Mapping[str, str]
    created: str
    seconds: float
    run_id: str
    recipe: str
    resources: Mapping[str, Any] = {}
    checks: tuple[CheckResult, ...] = ()
    accepted: str | None = None
    """Who let a result with a failed check pass, when and why."""


class Artifact(BaseModel):
    """A published artifact and where it lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    folder: StorePath
    manifest: Manifest

    def as_input(self) -> InputArtifact:
        """Return what a stage function reads."""
        m = self.manifest
        return InputArtifact(m.name, m.kind, m.digest, self.folder, m.files, m.info)

    def ref(self, store: StorePath) -> InputRef:
        """Return how another manifest names this artifact."""
        m = self.manifest
        path = storage.relative(self.folder, store)
        return InputRef(name=m.name, kind=m.kind, digest=m.digest, path=path)

    @property
    def label(self) -> str:
        """Short name for people: stage@digest."""
        return f"{self.manifest.name}@{self.manifest.digest[:12]}"


def content_digest(files: tuple[FileEntry, ...]) -> str:
    """Return the identity of an artifact's content: its data files, not how they came about."""
    counted = sorted((f.role, f.shard, f.content_hash, f.rows) for f in files if f.role in _CONTENT)
    return fingerprint([list(entry) for entry in counted])


_CONTENT = ("data", "validation", "model", "report")


def load(folder: StorePath) -> Artifact | None:
    """Return the artifact in a folder, None where none was published."""
    path = folder / MANIFEST
    payload = storage.read_all([path]).get(path)
    return None if payload is None else _parsed(folder, payload)


def _parsed(folder: StorePath, payload: bytes) -> Artifact:
    try:
        return Artifact(folder=folder, manifest=Manifest.model_validate_json(payload))
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise StoreError(
            f"{folder / MANIFEST}: not a manifest this version reads "
            f"({f'{at}: ' if at else ''}{first['msg']}). Remove the folder to have it rebuilt."
        ) from error


def folder_of(store: StorePath, kind: str, name: str, key: str, generation: int = 1) -> StorePath:
    """Return where an artifact lies: `<store>/<kind>/<name>-<key12>`, forced rebuilds `.g2`..."""
    suffix = "" if generation == 1 else f".g{generation}"
    return store / kind / f"{name}-{key[:12]}{suffix}"


def generations(store: StorePath, kind: str, name: str, key: str) -> list[StorePath]:
    """Return the folders of a key that exist, oldest generation first."""
    there = set(storage.children(store / kind))
    found = []
    generation = 1
    while (folder := folder_of(store, kind, name, key, generation)).name in there:
        found.append(folder)
        generation += 1
    return found


def find(store: StorePath, kind: str, name: str, key: str) -> Artifact | None:
    """Return the newest published artifact of a key whose files are all there."""
    for folder in reversed(generations(store, kind, name, key)):
        artifact = load(folder)
        if artifact is not None:
            return artifact
    return None


def missing_files(artifact: Artifact) -> list[str]:
    """Return the files that are gone or have another size than the manifest promises."""
    files = artifact.manifest.files
    found = storage.sizes(artifact.folder, [entry.path for entry in files])
    return [entry.path for entry in files if found.get(entry.path) != entry.bytes]


def publish(folder: StorePath, manifest: Manifest) -> Artifact:
    """Write the manifest, the one commit point; where another run was first, adopt its result."""
    payload = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True).encode()
    storage.put_if_absent(folder / MANIFEST, payload)
    published = load(folder)
    if published is None:
        raise StoreError(f"{folder / MANIFEST} vanished right after it was written")
    return published


def history(store: StorePath, kind: str, name: str, most: int = 5) -> list[Artifact]:
    """Return the latest artifacts of a stage, whatever their keys, newest last."""
    own = re.compile(re.escape(name) + r"-[0-9a-f]{12}(\.g\d+)?")
    try:
        folders = [f for f in (store / kind).iterdir() if own.fullmatch(f.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    dated = []
    for folder in folders:
        with suppress(FileNotFoundError, NotADirectoryError):
            dated.append(((folder / MANIFEST).stat().st_mtime, folder.name, folder))
    found = [load(folder) for _, _, folder in sorted(dated)[-most:]]
    return sorted((a for a in found if a), key=lambda artifact: artifact.manifest.created)


def all_artifacts(
    store: StorePath, damaged: Callable[[StoreError], None] | None = None
) -> Iterator[Artifact]:
    """Yield every published artifact of a store, oldest first.

    A manifest that cannot be read is handed to `damaged` and passed over; without that it raises.
    """
    kinds = [store / name for name in storage.children(store) if not name.startswith("_")]
    folders = [kind / name for kind in kinds for name in storage.children(kind)]
    payloads = storage.read_all(folder / MANIFEST for folder in folders)
    found = []
    for path, payload in payloads.items():
        try:
            found.append(_parsed(path.parent, payload))
        except StoreError as error:
            if damaged is None:
                raise
            damaged(error)
    yield from sorted(found, key=lambda artifact: artifact.manifest.created)


def now() -> str:
    """Return the time as manifests write it: UTC, to the microsecond, sortable."""
    seconds = time.time()
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e6):06d}Z"
