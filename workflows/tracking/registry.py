"""The model registry: a checkpoint gets a version and an alias, an alias names a checkpoint."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from pipelines.storage import StorePath
from workflows.artifact import Artifact, all_artifacts
from workflows.errors import RefError, TrackingError, UsageError
from workflows.tracking import checkpoints
from workflows.tracking.mirror import connect, reason
from workflows.tracking.progress import tracking_uri_for, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

_NAME = re.compile(r"[\w][\w .-]*")
_ALIAS = re.compile(r"(?!v?\d+$|latest$)[\w-]+", re.IGNORECASE)
_PAGE = 1_000
_VERSIONS = "mlflow.modelVersions"


class Version(BaseModel):
    """A version of a registered model, and the artifact that it names."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    version: int
    aliases: tuple[str, ...]
    artifact: str
    """name@digest; empty for a version that something else registered."""
    path: str
    """The artifact's folder."""


def split_release(text: str) -> tuple[str, str]:
    """Return the model's name and the alias of "NAME@ALIAS".

    Raises:
        UsageError: it is not of that form, or MLflow keeps such an alias for itself.
    """
    name, _, alias = text.partition("@")
    if not _NAME.fullmatch(name) or not _ALIAS.fullmatch(alias):
        raise UsageError(
            f"--as {text}: found {name!r} and {alias!r}; write NAME@ALIAS, for example "
            "demo@champion. Both take letters, digits, '-' and '_'; numbers and 'latest' are "
            "no aliases."
        )
    return name, alias


def promote(artifact: Artifact, store: StorePath, name: str, alias: str) -> Version:
    """Register a checkpoint under a name, once, and let an alias point to it.

    Raises:
        UsageError: the artifact is no model.
        TrackingError: MLflow does not answer, or was not told of the artifact.
    """
    manifest = artifact.manifest
    if manifest.makes != "model":
        models = sorted({m.manifest.name for m in all_artifacts(store) if _is_model(m)})
        raise UsageError(
            f"{artifact.label} holds {manifest.makes}; only models can be promoted, and this "
            f"store has {', '.join(models) or 'none yet'}."
        )
    uri = tracking_uri_for(store)
    output = f"{manifest.name}@{manifest.digest}"
    with _answers(uri):
        client = connect(uri)
        model = _logged_model(client, manifest.recipe, output)
        if model is None:
            raise TrackingError(
                f"MLflow at {without_password(uri)} has no model of {artifact.label}. Run "
                f"`llada sync --store {store}`; if that sends nothing, run the recipe "
                f"{manifest.recipe} again: it reuses what is there and tells MLflow of it."
            )
        version = _registered(client, name, model, output)
        client.set_model_version_tag(name, version, "path", str(artifact.folder))
        client.set_registered_model_alias(name, alias, version)
        return _as_version(client.get_model_version(name, version))


def _is_model(artifact: Artifact) -> bool:
    return artifact.manifest.makes == "model"


def _logged_model(client: "MlflowClient", recipe: str, output: str) -> "LoggedModel | None":
    """Return the logged model of an artifact, first of all that of the recipe that made it."""
    experiments = sorted(client.search_experiments(), key=lambda one: one.name != recipe)
    return checkpoints.find(client, [str(one.experiment_id) for one in experiments], output)


def _registered(client: "MlflowClient", name: str, model: "LoggedModel", output: str) -> str:
    """Return the version of an artifact under a name; made only where there is none."""
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    for version in _versions(client, f"name = '{name}'"):
        if version.tags.get("output") == output:
            return str(version.version)
    # The files' address and not models:/ID: MLflow would look that up at another tracking URI.
    made = client.create_model_version(
        name,
        source=str(model.artifact_location),
        run_id=model.source_run_id,
        tags={"output": output, "model_id": model.model_id},
        model_id=model.model_id,
    )
    _link_back(client, model, name, str(made.version))
    return str(made.version)


def _link_back(client: "MlflowClient", model: "LoggedModel", name: str, version: str) -> None:
    """Tell a logged model of its version: a tracking server does so, MLflow on SQLite does not."""
    tags = client.get_logged_model(model.model_id).tags
    known = json.loads(tags.get(_VERSIONS, "[]"))
    if (name, version) not in {(one["name"], str(one["version"])) for one in known}:
        known.append({"name": name, "version": version})
        client.set_logged_model_tags(model.model_id, {_VERSIONS: json.dumps(known)})


def registered(tracking_uri: str) -> list[Version]:
    """Return every registered version, by name, newest first.

    Raises:
        TrackingError: MLflow does not answer.
    """
    with _answers(tracking_uri):
        client = connect(tracking_uri)
        aliases: dict[tuple[str, str], list[str]] = {}
        for model in _all_pages(client.search_registered_models, ""):
            for alias, version in model.aliases.items():
                aliases.setdefault((model.name, str(version)), []).append(alias)
        found = [
            _as_version(one, aliases.get((one.name, str(one.version)), []))
            for one in _versions(client, "")
        ]
    return sorted(found, key=lambda one: (one.name, -one.version))


def resolve_alias(uri: str, tracking_uri: str) -> tuple[str, str]:
    """Return the artifact that `models:/NAME@ALIAS` or `models:/NAME/VERSION` names.

    Args:
        uri: What a person wrote.
        tracking_uri: Where the registry is; see `tracking_uri_for`.

    Returns:
        name@digest of the artifact, and the folder it was published in.

    Raises:
        RefError: no version answers to it; names those that would.
        TrackingError: MLflow does not answer.
    """
    form = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", uri)
    if form is None:
        raise RefError(f"found {uri!r}; write models:/NAME@ALIAS or models:/NAME/VERSION.")
    name, alias, number = form.groups()
    versions = registered(tracking_uri)
    for one in versions:
        if one.name == name and (alias in one.aliases or str(one.version) == number):
            if not one.artifact:
                raise RefError(f"{uri} was registered by something else than `llada promote`.")
            return one.artifact, one.path
    there = sorted(
        f"models:/{one.name}{ending}"
        for one in versions
        for ending in ([f"@{alias}" for alias in one.aliases] or [f"/{one.version}"])
    )
    raise RefError(
        f"no registered model answers to {uri}; there is {', '.join(there) or 'none yet'}. "
        "`llada promote REF --as NAME@ALIAS` makes one."
    )


def _as_version(found: Any, aliases: list[str] | None = None) -> Version:
    return Version(
        name=found.name,
        version=int(found.version),
        aliases=tuple(sorted(found.aliases if aliases is None else aliases)),
        artifact=found.tags.get("output", ""),
        path=found.tags.get("path", ""),
    )


def _versions(client: "MlflowClient", query: str) -> Iterator[Any]:
    yield from _all_pages(client.search_model_versions, query)


def _all_pages(search: Any, query: str) -> Iterator[Any]:
    token = None
    while True:
        page = search(query, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _answers(uri: str) -> Iterator[None]:
    """Turn what a tracking server that is down raises into a sentence."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise TrackingError(
            f"MLflow at {without_password(uri)}: {reason(error)}. Start the server, or name "
            "another with MLFLOW_TRACKING_URI."
        ) from error
