"""Checkpoints as MLflow's logged models: found again by name@digest, their files left alone."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.tracking.datasets import label

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

EXPERIMENTS_AT_ONCE = 100


def find(client: "MlflowClient", experiments: Sequence[str], output: str) -> "LoggedModel | None":
    """Return the ready logged model of an artifact; None where MLflow has none.

    Args:
        client: Bound to one tracking URI.
        experiments: Ids of the experiments to look in.
        output: The artifact's name@digest.
    """
    for first in range(0, len(experiments), EXPERIMENTS_AT_ONCE):
        some = list(experiments[first : first + EXPERIMENTS_AT_ONCE])
        found = client.search_logged_models(some, f"tags.output = '{output}'", max_results=1)
        if found:
            return found[0]
    return None


def create(client: "MlflowClient", experiment: str, run: str, output: Mapping[str, Any]) -> str:
    """Make the logged model of a checkpoint whose files stay in our store; return its id.

    What `mlflow.create_external_model` does, without its process-wide tracking URI.
    """
    from mlflow.models.utils import get_external_mlflow_model_spec

    model = client.create_logged_model(
        experiment,
        name=re.sub(r"[^\w\- ]", "-", str(output["name"])),
        source_run_id=run,
        tags={
            "mlflow.model.isExternal": "true",
            "output": label(output),
            "path": str(output["path"]),
        },
        model_type=str(output["kind"]),
    )
    with tempfile.TemporaryDirectory() as folder:
        get_external_mlflow_model_spec(model).save(str(Path(folder) / "MLmodel"))
        client.log_model_artifacts(model.model_id, folder)
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def link_output(client: "MlflowClient", run: str, model: str, step: int) -> None:
    """Say that a run made, or reused, a model; a second time changes nothing."""
    from mlflow.entities import LoggedModelOutput

    linked = client.get_run(run).outputs
    if all(one.model_id != model for one in (linked.model_outputs if linked else ())):
        # Only once: MLflow refuses a second link.
        client.log_outputs(run, [LoggedModelOutput(model, step)])
