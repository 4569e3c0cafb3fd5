"""The OpenLineage facets of our artifacts and stages, as the standard's schemas want them."""

import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from workflows.artifact import Manifest
from workflows.environment import PROJECT
from workflows.kinds import STAGE_KINDS

Json = dict[str, Any]

SPEC = "https://openlineage.io/spec"
_VERSIONS: Mapping[str, tuple[str, str]] = {
    "schema": ("1-2-0", "SchemaDatasetFacet"),
    "version": ("1-0-1", "DatasetVersionDatasetFacet"),
    "dataSource": ("1-0-1", "DatasourceDatasetFacet"),
    "outputStatistics": ("1-0-2", "OutputStatisticsOutputDatasetFacet"),
    "dataQualityAssertions": ("1-1-0", "DataQualityAssertionsDatasetFacet"),
    "documentation of a dataset": ("1-1-0", "DocumentationDatasetFacet"),
    "documentation of a job": ("1-1-0", "DocumentationJobFacet"),
    "sourceCodeLocation": ("1-1-0", "SourceCodeLocationJobFacet"),
    "jobType": ("2-0-4", "JobTypeJobFacet"),
    "parent": ("1-2-0", "ParentRunFacet"),
    "errorMessage": ("1-0-1", "ErrorMessageRunFacet"),
    "tags": ("1-0-0", "TagsRunFacet"),
}
"""facet -> the version of its schema and its name there"""


@cache
def producer() -> str:
    """Return the URI that says who wrote an event."""
    try:
        return f"urn:llada-pipeline:{metadata.version('llada-pipeline')}"
    except metadata.PackageNotFoundError:
        return "urn:llada-pipeline:unknown"


def facet(facet_name: str, **values: Any) -> Json:
    """Return one facet with the addresses that the standard asks of each."""
    version, schema = _VERSIONS[facet_name]
    url = f"{SPEC}/facets/{version}/{schema}.json#/$defs/{schema}"
    return {"_producer": producer(), "_schemaURL": url, **values}


def dataset_facets(ref: Mapping[str, Any], uri: str, manifest: Manifest | None) -> Json:
    """Return what is known of an artifact; less where its manifest was removed."""
    facets = {
        "version": facet("version", datasetVersion=str(ref["digest"])),
        "dataSource": facet("dataSource", name=str(ref["name"]), uri=uri),
    }
    if manifest is not None:
        facets["schema"] = facet("schema", fields=_fields(manifest.schema_text))
        says = f"{manifest.makes} of the stage kind {manifest.kind}, in {manifest.ledger.unit}"
        facets["documentation"] = facet("documentation of a dataset", description=says)
    return facets


def _fields(schema_text: str) -> list[Json]:
    """Return the fields of an Arrow schema as it prints itself: `name: type`, children indented."""
    fields: list[Json] = []
    for line in schema_text.splitlines():
        name, colon, kind = line.partition(": ")
        if colon and not line.startswith((" ", "--")):
            fields.append({"name": name, "type": kind, "ordinal_position": len(fields) + 1})
    return fields


def statistics(manifest: Manifest) -> Json:
    """Return how much a stage wrote: the rows that its ledger kept, all its files."""
    return {
        "outputStatistics": facet(
            "outputStatistics",
            rowCount=manifest.ledger.kept.rows,
            size=sum(entry.bytes for entry in manifest.files),
            fileCount=len(manifest.files),
        )
    }


def assertions(manifest: Manifest | None) -> Json:
    """Return the checks of an artifact, {} where its manifest has none."""
    checks: Iterable[Any] = getattr(manifest, "checks", None) or ()
    found = [_assertion(c if isinstance(c, Mapping) else c.model_dump()) for c in checks]
    if not found:
        return {}
    return {"dataQualityAssertions": facet("dataQualityAssertions", assertions=found)}


def _assertion(check: Mapping[str, Any]) -> Json:
    told = {"expected": check.get("allowed"), "actual": check.get("found")}
    return {
        "assertion": str(check["name"]),
        "success": bool(check["ok"]),
        **{key: str(value) for key, value in told.items() if value is not None},
    }


def job_facets(kind: str | None, commit: str | None) -> Json:
    """Return the facets of a stage's job, or of the whole run's where `kind` is None."""
    row = STAGE_KINDS.get(kind or "")
    says = ((row.run.__doc__ if row else None) or "A run of a recipe.").strip().splitlines()[0]
    job_type = "RUN" if kind is None else "STAGE"
    facets = {
        "jobType": facet("jobType", processingType="BATCH", integration="LLADA", jobType=job_type),
        "documentation": facet("documentation of a job", description=says),
    }
    if commit:
        path = f"{row.run.__module__.replace('.', '/')}.py" if row else "workflows"
        facets["sourceCodeLocation"] = facet(
            "sourceCodeLocation", type="git", url=repository(), path=path, version=commit
        )
    return facets


@cache
def repository() -> str:
    """Return where the code's repository is: its remote without any password, else its folder."""
    try:
        done = subprocess.run(
            ["git", "-C", str(PROJECT), "remote", "get-url", "origin"],
            capture_output=True, timeout=10, check=True, text=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return PROJECT.as_uri()
    parts = urlsplit(done.stdout.strip())
    if parts.scheme not in ("http", "https", "ssh", "git"):
        return PROJECT.as_uri()
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
