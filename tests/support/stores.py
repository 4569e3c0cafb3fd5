"""A small real store with several runs, and artifacts published by hand, for tests of lineage."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.executors import InProcess
from pipelines.ledger import Ledger
from pipelines.shards import Role, ShardFiles
from tests.support.documents import write_jsonl
from workflows import artifact as artifacts
from workflows import environment
from workflows.artifact import Artifact, Manifest
from workflows.lineage.graph import ArtifactGraph, Node, read_graph
from workflows.plan import Planner
from workflows.recipe import load_recipe
from workflows.runner import Runner

RECIPE = """\
name: small
store: {store}
stages:
  docs: {{kind: source, config: {{paths: [{data}]}}}}
  text: {{kind: extract, needs: docs, config: {{unit_bytes: 4000}}}}
  clean:
    kind: filter
    needs: text
    config: {{rules: [gopher], languages: [en], min_language_score: 0.1}}
  unique: {{kind: dedup, needs: clean}}
  bpe: {{kind: tokenizer, needs: unique, config: {{vocab_size: 400}}}}
  tokens:
    kind: tokens
    needs: {{documents: unique, tokenizer: bpe}}
    config: {{sequence_length: 64, validation_share: 0.2}}
"""
LOOSE = {"clean.limits": "{gopher_short_doc: 2, gopher_enough_stop_words: 0}"}
SAME_CONTENT = {"clean.limits": "{gopher_short_doc: 49}"}


@dataclass(frozen=True)
class SmallStore:
    """Three runs: as written, with a looser rule, with a changed rule that changes no document."""

    home: Path
    runs: tuple[str, str, str]

    @property
    def store(self) -> Path:
        return self.home / "store"

    @property
    def graph(self) -> ArtifactGraph:
        return read_graph(self.store)

    def node(self, name: str, run: int = 0) -> Node:
        found = [n for n in self.graph.nodes if (n.name, n.run_id) == (name, self.runs[run])]
        return found[-1]


def build_small_store(home: Path) -> SmallStore:
    """Build it: a.jsonl and b.jsonl of 14 documents, one-0.jsonl... of one good document each."""
    data = home / "data"
    data.mkdir()
    write_jsonl(data / "a.jsonl", 12)
    write_jsonl(data / "b.jsonl", 12, start=100)
    for number in range(8):
        path = write_jsonl(data / f"one-{number}.jsonl", 1, start=1000 + number)
        path.write_text(path.read_text().splitlines()[0] + "\n")
    recipe = home / "small.yaml"
    recipe.write_text(RECIPE.format(store=home / "store", data=data))
    runs = [run_recipe(recipe, settings) for settings in ({}, LOOSE, SAME_CONTENT)]
    return SmallStore(home, (runs[0], runs[1], runs[2]))


def run_recipe(path: Path, settings: Mapping[str, str] | None = None) -> str:
    """Run a recipe in this process; return the id of the run."""
    recipe = load_recipe(path, settings)
    return Runner(Planner(Path(recipe.store), path.parent), InProcess()).run(recipe).run_id


def publish(
    store: Path,
    name: str,
    kind: str = "dedup",
    makes: str = "documents",
    inputs: Mapping[str, Artifact] | None = None,
    *,
    tables: Mapping[Role, pa.Table] | None = None,
    **more: Any,
) -> Artifact:
    """Publish an artifact by hand, through the commit point that the runner uses."""
    digest = more.pop("digest", hashlib.sha256(name.encode()).hexdigest())
    key = more.pop("key", hashlib.sha256(f"{name} {digest}".encode()).hexdigest())
    folder = artifacts.folder_of(store, kind, name, key)
    files = ShardFiles(folder, "00000", "hand")
    for role, table in (tables or {}).items():
        files.write_parquet(table, role)
    facts: dict[str, Any] = {
        "name": name, "kind": kind, "makes": makes, "key": key, "digest": digest, "config": {},
        "inputs": {slot: one.ref(store) for slot, one in (inputs or {}).items()},
        "files": files.entries, "schema_text": "", "ledger": Ledger(), "metrics": {}, "info": {},
        "version": 1, "code_policy": "rerun", "code_hash": "", "code_parts": {},
        "commit": environment.commit(), "dirty_diff": environment.dirty_diff(),
        "packages": environment.packages(), "created": artifacts.now(), "seconds": 1.0,
        "run_id": "by-hand", "recipe": "hand",
    }  # fmt: skip
    return artifacts.publish(folder, Manifest.model_validate(facts | more))


def publish_model(store: Path, name: str, kind: str = "pretrain", **inputs: Artifact) -> Artifact:
    """Publish what stands for a checkpoint."""
    return publish(store, name, kind, "model", inputs)
