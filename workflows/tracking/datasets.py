"""Artifacts as MLflow's datasets: a name, a digest, and where the files lie."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workflows.tracking import values

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

_CONTEXT = "mlflow.data.context"


def label(artifact: Mapping[str, Any]) -> str:
    """Return the identity of an artifact: name@digest."""
    return f"{artifact['name']}@{artifact['digest']}"


def named(label: str) -> tuple[str, str]:
    """Return the name and the digest by which MLflow knows the dataset of a label."""
    name, _, digest = label.rpartition("@")
    return values.cut(name, values.DATASET_NAME_LIMIT), digest[: values.DIGEST_LIMIT]


def link(
    artifact: Mapping[str, Any],
    context: str,
    ledger: Mapping[str, Any] | None = None,
    slot: str | None = None,
) -> "DatasetInput":
    """Return the link of a run to a dataset that it reads ("input") or writes ("output")."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    kept = ledger["kept"] if ledger else None
    name, digest = named(label(artifact))
    dataset = Dataset(
        name=name,
        digest=digest,
        source_type="local",
        source=json.dumps({"uri": str(artifact["path"])}),
        profile=json.dumps({"num_rows": kept["rows"], "bytes": kept["bytes"]}) if kept else None,
    )
    tags = {_CONTEXT: context, "digest": str(artifact["digest"]), "slot": slot}
    return DatasetInput(
        dataset,
        [InputTag(k, values.cut(v, values.INPUT_TAG_LIMIT)) for k, v in tags.items() if v],
    )
