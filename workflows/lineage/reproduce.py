"""Make an artifact again from what its manifests say, and tell which results are the same."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from glob import has_magic
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from pipelines import storage
from pipelines.errors import InputError
from pipelines.remote.addresses import is_remote
from pipelines.source import SourceConfig, survey
from pipelines.workspace import Executor, cache_of
from workflows.artifact import Manifest
from workflows.errors import RefError, WorkflowError
from workflows.lineage.checkout import code_of
from workflows.lineage.graph import ArtifactGraph, Identity, Node, published, read_graph
from workflows.lineage.listings import rows_of
from workflows.lineage.plain import plain

_SHOWN = 5

Rebuild = Callable[[Path, Path], None]
"""Runs a recipe file with the code in a folder; raises WorkflowError where it does not finish."""


@dataclass(frozen=True)
class Remade:
    """One stage of the chain: what it was and what it is now (None: it did not finish)."""

    name: str
    then: Manifest
    now: Manifest | None

    @property
    def same(self) -> bool:
        """Whether the content is the same to the byte."""
        return self.now is not None and self.now.digest == self.then.digest


@dataclass(frozen=True)
class Reproduction:
    """What came of it; `failure` says why it did not reach its end."""

    store: Path
    recipe_file: Path
    stages: tuple[Remade, ...]
    failure: str = ""

    @property
    def same(self) -> bool:
        """Whether every stage gave the same content again."""
        return all(stage.same for stage in self.stages)

    @property
    def packages(self) -> dict[str, tuple[str | None, str | None]]:
        """The packages whose version is another one now."""
        found = {}
        for stage in self.stages:
            now = stage.now.packages if stage.now else stage.then.packages
            for name in sorted(stage.then.packages.keys() | now.keys()):
                versions = stage.then.packages.get(name), now.get(name)
                if versions[0] != versions[1]:
                    found[name] = versions
        return found


def reproduce(
    graph: ArtifactGraph, node: Node, into: Path, rebuild: Rebuild, *, anyway: bool = False
) -> Reproduction:
    """Make an artifact and everything before it again in the empty store `into`.

    Args:
        graph: The store that holds the artifact.
        node: What to make again.
        into: An empty or missing folder.
        rebuild: `in_subprocess`, or `in_process` with an executor.
        anyway: Go on where the exact code cannot be had; see `code_of`.

    Raises:
        RefError: an input in the chain was removed, or `into` is not empty.
        WorkflowError: a source file changed (named), or the code is not known.
    """
    chain = _chain(graph, node)
    if next(published(into), None) is not None:
        raise RefError(f"{into} holds artifacts, which a run would reuse: name an empty folder")
    names = _names(chain)
    configs = {one.identity: _config(graph, one) for one in chain}
    recipe = _recipe(chain, names, configs, into)
    into.mkdir(parents=True, exist_ok=True)
    recipe_file = into / "reproduce.yaml"
    storage.write_bytes(recipe_file, yaml.safe_dump(recipe, sort_keys=False).encode())
    then = [one.load().manifest for one in chain]
    failure = ""
    with code_of(then, anyway=anyway) as code:
        try:
            rebuild(recipe_file, code)
        except WorkflowError as error:
            failure = str(error)
    now = {one.name: one for one in read_graph(into).nodes}
    stages = tuple(
        Remade(old.name, old, _manifest(now.get(names[one.identity])))
        for one, old in zip(chain, then, strict=True)
    )
    return Reproduction(into, recipe_file, stages, failure)


def _chain(graph: ArtifactGraph, node: Node) -> list[Node]:
    chain = graph.up(node)
    for one in chain:
        for slot, ref in one.inputs.items():
            if graph.filled_by(ref) is None:
                raise RefError(
                    f"{one.label} cannot be made again: its input {slot}, {ref.name}@"
                    f"{ref.digest[:12]}, was removed from {ref.path}, and with it how it was made"
                )
    return chain


def _names(chain: Sequence[Node]) -> dict[Identity, str]:
    """Return a recipe's name for each artifact; names are no part of a stage's key."""
    names: dict[Identity, str] = {}
    for node in chain:
        plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in node.name)
        name, number = plain, 2
        while name in names.values():
            name, number = f"{plain}-{number}", number + 1
        names[node.identity] = name
    return names


def _recipe(
    chain: Sequence[Node],
    names: Mapping[Identity, str],
    configs: Mapping[Identity, Mapping[str, Any]],
    into: Path,
) -> dict[str, Any]:
    stages = {
        names[node.identity]: {
            "kind": node.kind,
            "needs": {slot: names[ref.identity] for slot, ref in node.inputs.items()},
            "config": dict(configs[node.identity]),
        }
        for node in chain
    }
    return {"name": chain[-1].recipe, "store": str(into.absolute()), "stages": stages}


def _config(graph: ArtifactGraph, node: Node) -> Mapping[str, Any]:
    """Return the resolved config of a stage, a source's checked and with whole paths."""
    artifact = node.load()
    if not node.is_listing:
        return artifact.manifest.config
    config = SourceConfig.model_validate(artifact.manifest.config)
    rows = rows_of(node)
    base = _base(config, str(rows[0]["uri"]))
    try:
        found = survey(config, base, cache_of(graph.store))
    except InputError as error:
        raise WorkflowError(f"{node.label} cannot be made again: {error}") from error
    listed = {row["name"]: row["xxh3_128"] for row in rows}
    present = {file.name: file.xxh3_128 for file in found.files}
    wrong = [
        *(f"{name} is gone" for name in sorted(listed.keys() - present.keys())),
        *(f"{name} is new" for name in sorted(present.keys() - listed.keys())),
        *(
            f"{n} has other content"
            for n in sorted(listed)
            if present.get(n, listed[n]) != listed[n]
        ),
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        shown = plain(", ".join(wrong[:_SHOWN]))
        raise WorkflowError(
            f"the files of {node.label} are not what was listed: {shown}{more}. Put the old files "
            "back: without them nothing after it can be the same."
        )
    paths = [
        path if is_remote(path) else str(base / Path(path).expanduser()) for path in config.paths
    ]
    return {**artifact.manifest.config, "paths": paths}


def _base(config: SourceConfig, uri: str) -> Path:
    """Return the folder that a source's relative paths were relative to: here, or above a file."""
    here = Path.cwd()
    wanted = Path(uri)
    for base in (here, *wanted.parents):
        for path in (path for path in config.paths if not is_remote(path)):
            named = base / Path(path).expanduser()
            fixed = Path(*takewhile(lambda part: not has_magic(part), named.parts))
            if wanted == fixed or fixed in wanted.parents:
                return base
    return here


def _manifest(node: Node | None) -> Manifest | None:
    return node.load().manifest if node else None


def in_subprocess(recipe_file: Path, code: Path) -> None:
    """Run a recipe as `llada run` does, in a process of its own that imports the code in `code`."""
    hidden = ("MLFLOW_TRACKING_URI", "PYTHONSAFEPATH")  # the copy is no run of the team's server
    done = subprocess.run(
        [sys.executable, "-m", "workflows", "run", str(recipe_file.absolute())],
        cwd=code,
        env={name: value for name, value in os.environ.items() if name not in hidden},
        stdout=2,
        check=False,
    )
    if done.returncode:
        raise WorkflowError(f"the run ended with exit code {done.returncode}; its words are above")


def in_process(executor: Executor) -> Rebuild:
    """Return a rebuild that runs here, with the code that is loaded: for tests and notebooks."""

    def rebuild(recipe_file: Path, _code: Path) -> None:
        from workflows.plan import Planner
        from workflows.recipe import load_recipe
        from workflows.runner import Runner

        recipe = load_recipe(recipe_file)
        Runner(Planner(Path(recipe.store), recipe_file.parent), executor).run(recipe)

    return rebuild


def reproduction_text(found: Reproduction) -> str:
    """Return the table of digests then and now, and what may explain a difference."""
    from workflows.summary import table

    rows = [
        {
            "stage": one.name,
            "digest then": one.then.digest[:16],
            "digest now": one.now.digest[:16] if one.now else "-",
            "same": "yes" if one.same else "NO" if one.now else "not made",
            "note": _note(one),
        }
        for one in found.stages
    ]
    lines = [table(rows, ["stage", "digest then", "digest now", "same", "note"]), ""]
    count = sum(one.same for one in found.stages)
    lines.append(f"{count} of {len(found.stages)} stages hold the same content.")
    if found.failure:
        lines.append(f"It did not reach its end: {found.failure}")
    if not found.same and found.packages:
        lines.append("Packages that differ, the likely reason:")
        lines += [f"  {n}: {a or 'none'} -> {b or 'none'}" for n, (a, b) in found.packages.items()]
    return "\n".join(lines)


def _note(one: Remade) -> str:
    if one.now is None or one.same:
        return ""
    notes = []
    if one.then.makes == "model":
        notes.append("training may differ between machines and numbers of workers")
    if one.now.code_hash != one.then.code_hash:
        notes.append("other code")
    if any(one.now.inputs[slot].digest != ref.digest for slot, ref in one.then.inputs.items()):
        notes.append("other input")
    return "; ".join(notes)


def reproduction_json(found: Reproduction) -> dict[str, Any]:
    """Return what `llada reproduce --json` prints."""
    return {
        "same": found.same,
        "store": str(found.store),
        "failure": found.failure or None,
        "stages": [
            {
                "name": one.name,
                "then": one.then.digest,
                "now": one.now.digest if one.now else None,
                "same": one.same,
                "note": _note(one),
            }
            for one in found.stages
        ],
        "packages": {name: list(versions) for name, versions in found.packages.items()},
    }
