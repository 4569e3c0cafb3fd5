"""A small real recipe against an S3 server on loopback: the same content as on a local disk."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines import storage
from pipelines.errors import StoreError
from pipelines.executors import InProcess
from pipelines.storage import StorePath
from tests.support.documents import write_jsonl
from workflows import artifact as artifacts
from workflows.errors import StageError
from workflows.lineage.compare import compare
from workflows.lineage.compare_text import comparison_text
from workflows.lineage.documents import explain, way_of
from workflows.lineage.graph import read_graph
from workflows.lineage.refs import find_artifact, resolve
from workflows.lineage.runs import sides
from workflows.lineage.tree import up_text
from workflows.plan import Planner
from workflows.recipe import load_recipe
from workflows.runner import Runner, RunResult
from workflows.selection import with_ancestors
from workflows.summary import page
from workflows.tracking.mirror import tracking_uri_for

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
  pairs: {{kind: instructions, needs: bpe, config: {{train: 20, evaluation: 4}}}}
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "a.jsonl", 12)
    write_jsonl(tmp_path / "data" / "b.jsonl", 12, start=100)
    return tmp_path / "data"


def _planner(store: str, data: Path) -> Planner:
    (data.parent / "small.yaml").write_text(RECIPE.format(store=store, data=data))
    return Planner(storage.store_root(store), data.parent)


def _run(
    store: str, data: Path, executor: InProcess | None = None, *, until: str | None = None
) -> RunResult:
    planner = _planner(store, data)
    recipe = load_recipe(data.parent / "small.yaml")
    if until is not None:
        recipe = recipe.only(with_ancestors(recipe, [until]))
    return Runner(planner, executor or InProcess()).run(recipe)


def _plan(store: str, data: Path) -> dict[str, tuple[str, str]]:
    planner = _planner(store, data)
    plan = planner.plan(load_recipe(data.parent / "small.yaml"))
    return {planned.stage.name: (planned.verdict, planned.why) for planned in plan}


def _by_name(result: RunResult) -> dict[str, artifacts.Artifact]:
    return {done.stage.name: done.artifact for done in result.stages}


def test_a_bucket_gets_the_content_that_a_disk_gets_and_is_reused(
    s3_store: str, data: Path, tmp_path: Path
) -> None:
    on_disk = _by_name(_run(str(tmp_path / "store"), data))
    assert {verdict for verdict, _ in _plan(s3_store, data).values()} == {"RUN"}
    first = _run(s3_store, data)
    in_bucket = _by_name(first)
    assert {done.cache for done in first.stages} == {"ran"}
    for name, artifact in on_disk.items():
        assert in_bucket[name].manifest.digest == artifact.manifest.digest, name
        assert artifacts.missing_files(in_bucket[name]) == []
    hashes = [
        {(f.role, f.shard, f.xxh3_128, f.bytes) for f in found["clean"].manifest.files}
        for found in (on_disk, in_bucket)
    ]
    assert hashes[0] == hashes[1]  # with what does not count for the digest
    assert {verdict for verdict, _ in _plan(s3_store, data).values()} == {"REUSE"}
    second = _run(s3_store, data)
    assert {done.cache for done in second.stages} == {"reused"}
    _read_what_people_read(second, in_bucket)
    found = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    cached = {name for name in found if not name.startswith("closures-")}
    assert cached <= {"source-hashes.json", "tokenizer.json", "tokenizer_config.json"}


def _read_what_people_read(result: RunResult, in_bucket: dict[str, artifacts.Artifact]) -> None:
    store = result.store
    shown = page(in_bucket, store, recipe="small", run_id=result.run_id, tracking="nowhere")
    assert f"WHERE           {store}\n    docs          source/docs-" in shown
    dropped = next(line for line in shown.splitlines() if "llada explain" in line).split()[2]
    assert "DROPPED  clean" in explain(way_of(dropped, store))
    graph = read_graph(store)
    assert "documents: text" in up_text(graph, find_artifact(graph, "clean"))
    label = in_bucket["clean"].label
    for ref in (label, "clean", f"filter/{in_bucket['clean'].folder.name}"):
        assert resolve(store, ref) == in_bucket["clean"]
    told = comparison_text(compare(*sides(store, "last~1", "last")))
    assert f"B  run {result.run_id} of recipe small" in told
    assert "0 of 7 stages hold another result, 7 the same." in told
    assert resolve(store, str(in_bucket["clean"].folder)) == in_bucket["clean"]


def test_an_object_that_is_gone_or_cut_is_noticed_and_repaired(s3_store: str, data: Path) -> None:
    first = _by_name(_run(s3_store, data, until="clean"))
    clean = first["clean"]
    storage.delete(clean.folder / clean.manifest.files[0].path)
    verdict, why = _plan(s3_store, data)["clean"]
    assert verdict == "RUN"
    assert clean.manifest.files[0].path in why
    repaired = _by_name(_run(s3_store, data, until="clean"))["clean"]
    assert repaired.manifest.digest == clean.manifest.digest
    assert repaired.folder.name == f"{clean.folder.name}.g2"


class _Dies(InProcess):
    """Ends like a killed run after the first unit of the first stage that has several."""

    def map_units(self, factory, units, resources, finished, stop):  # type: ignore[no-untyped-def]
        if len(units) > 1:
            super().map_units(factory, units[:1], resources, finished, stop)
            raise KeyboardInterrupt
        return super().map_units(factory, units, resources, finished, stop)


def test_a_run_cut_short_resumes_from_its_shards(s3_store: str, data: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _run(s3_store, data, _Dies(), until="text")
    expected = ("RESUME", "1 finished shards kept from a run that ended early")
    assert _plan(s3_store, data)["text"] == expected
    resumed = _run(s3_store, data, until="text")
    assert {done.stage.name: done.cache for done in resumed.stages}["text"] == "resumed"


def test_a_record_whose_object_is_missing_is_done_again(
    s3_store: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        _run(s3_store, data, _Dies(), until="text")
    store = storage.store_root(s3_store)
    (unfinished,) = storage.children(store / "extract")
    folder = store / "extract" / unfinished / "data"
    part = storage.children(folder)[0]
    storage.delete(folder / part)
    found = _by_name(_run(s3_store, data, until="text"))["text"]
    assert part not in {entry.path.rpartition("/")[2] for entry in found.manifest.files}
    assert artifacts.missing_files(found) == []
    on_disk = _by_name(_run(str(tmp_path / "store"), data, until="text"))["text"]
    assert found.manifest.digest == on_disk.manifest.digest


def test_two_publishers_agree_on_the_first(s3_store: str, data: Path) -> None:
    published = _by_name(_run(s3_store, data, until="docs"))["docs"]
    folder: StorePath = storage.store_root(s3_store) / "source" / "docs-raced"
    versions = [
        published.manifest.model_copy(update={"run_id": f"run-{number}"}) for number in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda manifest: artifacts.publish(folder, manifest), versions))
    assert len({result.manifest.run_id for result in results}) == 1
    late = artifacts.publish(folder, versions[0].model_copy(update={"run_id": "late"}))
    assert late == results[0]


def test_mlflow_of_a_bucket_lies_in_the_users_cache(
    s3_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    one, other = (storage.store_root(s3_store + end) for end in ("", "-other"))
    place = Path(tracking_uri_for(one).removeprefix("sqlite:///"))
    assert place.is_relative_to(tmp_path / "cache" / "llada")
    assert place.parent.is_dir()
    assert tracking_uri_for(other) != tracking_uri_for(one)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert tracking_uri_for(one) == "http://tracking:5000"


@pytest.mark.usefixtures("s3_account")
def test_a_bucket_that_refuses_stops_the_run_with_a_sentence(data: Path) -> None:
    with pytest.raises((StageError, StoreError), match=r"refused access to s3://forbidden/a"):
        _run("s3://forbidden/a", data, until="docs")
