"""An artifact: a folder of files whose manifest, written last by put-if-absent, makes it exist."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines import storage
from pipelines.errors import StoreError
from pipelines.ledger import Ledger
from pipelines.shards import FileEntry
from pipelines.workspace import InputArtifact
from workflows.errors import RefError
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


class Artifact(BaseModel):
    """A published artifact and where it lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    folder: Path
    manifest: Manifest

    def as_input(self) -> InputArtifact:
        """Return what a stage function reads."""
        m = self.manifest
        return InputArtifact(m.name, m.kind, m.digest, self.folder, m.files, m.info)

    def ref(self, store: Path) -> InputRef:
        """Return how another manifest names this artifact."""
        m = self.manifest
        path = self.folder.relative_to(store).as_posix()
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


def load(folder: Path) -> Artifact | None:
    """Return the artifact in a folder, None where none was published."""
    path = folder / MANIFEST
    try:
        payload = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    try:
        return Artifact(folder=folder, manifest=Manifest.model_validate_json(payload))
    except ValidationError as error:
        raise StoreError(
            f"{path}: not a manifest this version reads ({error.error_count()} problems, first: "
            f"{error.errors()[0]['loc']}). Remove the folder to have it rebuilt."
        ) from error


def folder_of(store: Path, kind: str, name: str, key: str, generation: int = 1) -> Path:
    """Return where an artifact lies: `<store>/<kind>/<name>-<key12>`, forced rebuilds `.g2`..."""
    suffix = "" if generation == 1 else f".g{generation}"
    return store / kind / f"{name}-{key[:12]}{suffix}"


def generations(store: Path, kind: str, name: str, key: str) -> list[Path]:
    """Return the folders of a key that exist, oldest generation first."""
    found = []
    generation = 1
    while (folder := folder_of(store, kind, name, key, generation)).exists():
        found.append(folder)
        generation += 1
    return found


def find(store: Path, kind: str, name: str, key: str) -> Artifact | None:
    """Return the newest published artifact of a key whose files are all there."""
    for folder in reversed(generations(store, kind, name, key)):
        artifact = load(folder)
        if artifact is not None:
            return artifact
    return None


def missing_files(artifact: Artifact) -> list[str]:
    """Return the files that are gone or have another size than the manifest promises."""
    bad = []
    for entry in artifact.manifest.files:
        path = artifact.folder / entry.path
        try:
            if path.stat().st_size != entry.bytes:
                bad.append(entry.path)
        except OSError:
            bad.append(entry.path)
    return bad


def publish(folder: Path, manifest: Manifest) -> Artifact:
    """Write the manifest, the one commit point; where another run was first, adopt its result."""
    payload = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True).encode()
    storage.put_if_absent(folder / MANIFEST, payload)
    published = load(folder)
    if published is None:
        raise StoreError(f"{folder / MANIFEST} vanished right after it was written")
    return published


def all_artifacts(store: Path) -> Iterator[Artifact]:
    """Yield every published artifact of a store, oldest first."""
    found = [
        artifact
        for path in store.glob(f"*/*/{MANIFEST}")
        if not path.parts[-3].startswith("_") and (artifact := load(path.parent)) is not None
    ]
    yield from sorted(found, key=lambda artifact: artifact.manifest.created)


def resolve(store: Path, ref: str) -> Artifact:
    """Return the artifact that a person's reference names: stage, stage@digest, folder or path.

    Raises:
        RefError: nothing answers to it; names what there is.
    """
    direct = load(Path(ref)) or load(store / ref)
    if direct is not None:
        return direct
    name, _, digest = ref.partition("@")
    known = list(all_artifacts(store))
    matches = [
        artifact
        for artifact in known
        if artifact.manifest.digest.startswith(digest)
        and (artifact.manifest.name == name or artifact.folder.name.startswith(name))
    ]
    if not matches:
        names = sorted({artifact.manifest.name for artifact in known})
        there = f"it has {', '.join(names)}" if names else "it is empty: run a recipe first"
        raise RefError(f"no artifact answers to {ref!r} in {store}; {there}.")
    return matches[-1]


def now() -> str:
    """Return the time as manifests write it: UTC, to the microsecond, sortable."""
    seconds = time.time()
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e6):06d}Z"
