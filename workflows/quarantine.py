"""Quarantine: a finished result that failed a check, kept with its evidence, and not published."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines import storage
from pipelines.checks import CheckResult
from pipelines.storage import StorePath
from workflows.artifact import Artifact, Manifest, now, publish
from workflows.errors import UsageError

_FILE = "_quarantine.json"


class Quarantined(BaseModel):
    """What would have been published, and why it was not: its manifest holds the checks."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    manifest: Manifest

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that said no."""
        return tuple(check for check in self.manifest.checks if not check.ok)

    @property
    def reason(self) -> str:
        """The failed checks in words."""
        return "; ".join(f"{c.name}: {c.found}, allowed {c.allowed}" for c in self.failed)


def hold(folder: StorePath, manifest: Manifest) -> Quarantined:
    """Keep a result aside; a later attempt at the same key replaces it."""
    payload = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True).encode()
    storage.write_bytes(folder / _FILE, payload)
    return Quarantined(manifest=manifest)


def load(folder: StorePath) -> Quarantined | None:
    """Return what is held in a folder, None where nothing is."""
    try:
        payload = (folder / _FILE).read_bytes()
        return Quarantined(manifest=Manifest.model_validate_json(payload))
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def find(store: StorePath, ref: str) -> StorePath:
    """Return the folder in quarantine that a stage's name, a folder or its name answers to.

    Raises:
        UsageError: none does, or several do; names them.
    """
    folders = [path.parent for path in store.glob(f"*/*/{_FILE}")]
    direct = [f for f in folders if ref in (f.name, str(f)) or f == Path(ref).resolve()]
    matches = direct or [f for f in folders if (q := load(f)) and q.manifest.name == ref]
    if len(matches) == 1:
        return matches[0]
    there = ", ".join(sorted(folder.name for folder in matches or folders)) or "nothing"
    raise UsageError(f"{ref!r} names {len(matches)} results in quarantine; there is {there}.")


def release(folder: StorePath) -> None:
    """Forget what was held: the checks pass now, or it was accepted."""
    (folder / _FILE).unlink(missing_ok=True)


def accept(folder: StorePath, *, by: str, note: str) -> Artifact:
    """Publish a quarantined result as it is; its manifest keeps the failed checks and who said yes.

    Raises:
        UsageError: nothing is held there, or its books do not balance, which no one can accept.
    """
    held = load(folder)
    if held is None:
        raise UsageError(
            f"nothing is quarantined in {folder}. `llada status RECIPE` shows what is."
        )
    if any(check.name == "ledger" for check in held.failed):
        raise UsageError(
            f"{folder.name} cannot be accepted: {held.reason}. Rows were lost or doubled, which is "
            "a bug: mend the stage and run it again with --force."
        )
    accepted = f"{now()} by {by}" + (f": {note}" if note else "")
    artifact = publish(folder, held.manifest.model_copy(update={"accepted": accepted}))
    release(folder)
    return artifact
