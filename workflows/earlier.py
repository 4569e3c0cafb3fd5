"""Which earlier artifact of a stage spares it work: same code, same inputs, another config."""

from collections.abc import Iterable, Mapping

from workflows import artifact as artifacts
from workflows.artifact import Artifact, InputRef
from workflows.code.closure import CodeClosure
from workflows.stage import Stage, StageKind


def sparing(
    stage: Stage,
    kind: StageKind,
    inputs: Mapping[str, InputRef],
    code: CodeClosure,
    history: Iterable[Artifact],
) -> Artifact | None:
    """Return the newest artifact of `history` (oldest first) that spares a stage work, if any."""
    if kind.spared_by is None:
        return None
    wanted = {slot: ref.digest for slot, ref in inputs.items()}
    for found in reversed(list(history)):
        manifest = found.manifest
        same = (
            (manifest.code_hash, manifest.version) == (code.digest, kind.version)
            and {slot: ref.digest for slot, ref in manifest.inputs.items()} == wanted
            and kind.spared_by(kind.config.model_validate(manifest.config), stage.config)
        )
        if same and not artifacts.missing_files(found):
            return found
    return None
