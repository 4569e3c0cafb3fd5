import json
from pathlib import Path

import pytest

from pipelines.executors import InProcess, OnRay
from tests.support.documents import prose
from tests.support.runs import digests, load, runner
from workflows.errors import RecipeError, StageError
from workflows.lineage.documents import explain, trace_text, way_of
from workflows.lineage.graph import read_graph
from workflows.lineage.trace import trace

RECIPE = """\
name: mixed
store: {folder}/store
stages:
  web_files: {{kind: source, config: {{paths: [{folder}/web]}}}}
  book_files: {{kind: source, config: {{paths: [{folder}/books]}}}}
  quiz: {{kind: source, config: {{paths: [{folder}/quiz.jsonl]}}}}
  web: {{kind: extract, needs: web_files}}
  books: {{kind: extract, needs: book_files}}
  clean:
    kind: decontaminate
    needs: {{documents: web, benchmarks: quiz}}
    config: {{benchmarks: {{quiz: {{files: quiz.jsonl, fields: [q]}}}}}}
  mixed:
    kind: mix
    needs: {needs}
    config: {{weights: {{web: 1, books: 1}}, measure: documents, total: 60, most_copies: 40}}
"""


def _recipe(folder: Path, needs: str = "{web: clean, books: books}") -> Path:
    for name, start, count in (("web", 0, 40), ("books", 100, 2)):
        (folder / name).mkdir(exist_ok=True)
        rows = [{"text": prose(start + n)} for n in range(count)]
        (folder / name / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "quiz.jsonl").write_text(json.dumps({"q": prose(7)}) + "\n")
    path = folder / "mixed.yaml"
    path.write_text(RECIPE.format(folder=folder, needs=needs))
    return path


def test_verdicts_and_copies_are_explained_and_a_second_run_reuses(tmp_path: Path) -> None:
    recipe = load(_recipe(tmp_path))
    first = runner(recipe).run(recipe)
    manifests = {done.stage.name: done.artifact.manifest for done in first.stages}
    assert manifests["clean"].ledger.dropped["contaminated"].rows == 1
    books = manifests["mixed"].ledger
    assert books.added.rows == 28  # each of two books 15 times
    assert {slot: ref.name for slot, ref in manifests["mixed"].inputs.items()} == {
        "web": "clean",
        "books": "books",
    }
    store = Path(recipe.store)
    bad = _id(store, manifests["clean"].key, "clean", "rejects")
    text = explain(way_of(bad, store))
    assert "DROPPED  clean (decontaminate)" in text
    assert "by rule contaminated: benchmark_overlap = 1, limit 0.5" in text
    assert "it holds quiz, item quiz.jsonl:1, field q" in text
    out = _id(store, manifests["mixed"].key, "mixed", "rejects")
    assert "by rule downsampled: draw = " in trace_text(trace(read_graph(store), out), every=False)
    again = runner(recipe).run(recipe)
    assert {done.cache for done in again.stages} == {"reused"}


def _id(store: Path, key: str, name: str, role: str) -> str:
    import pyarrow.parquet as pq

    (folder,) = store.glob(f"*/{name}-{key[:12]}")
    ids = [
        i for path in folder.glob(f"{role}/*") for i in pq.read_table(path)["doc_id"].to_pylist()
    ]
    return str(ids[0])


def test_a_changed_benchmark_runs_the_stage_again_and_no_more(tmp_path: Path) -> None:
    recipe = load(_recipe(tmp_path))
    runner(recipe).run(recipe)
    with (tmp_path / "quiz.jsonl").open("a") as handle:
        handle.write(json.dumps({"q": prose(5000) + " of nobody"}) + "\n")
    again = {done.stage.name: done.cache for done in runner(recipe).run(recipe).stages}
    assert (again["clean"], again["mixed"]) == ("ran", "reused")


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ("{web: clean, books: bookz}", r"stages\.mixed\.needs\.books: no stage 'bookz'.*'books'"),
        ("{web: clean, books: quiz}", "takes documents, but 'quiz' .source. makes listing"),
        ("{}", r"stages\.mixed\.needs: found no stage; write \{name: stage, ...\}"),
        ("{'a/b': clean}", "a slot's name is made of letters"),
    ],
)
def test_a_mix_of_what_cannot_be_mixed_is_refused(tmp_path: Path, needs: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(_recipe(tmp_path, needs))


def test_a_weight_of_no_input_names_the_nearest(tmp_path: Path) -> None:
    recipe = load(_recipe(tmp_path), mixed__weights="{web: 1, boks: 1}")
    with pytest.raises(StageError, match=r"'books' has 2 documents and no weight.*mean 'boks'"):
        runner(recipe).run(recipe)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.filterwarnings("default")  # Ray's own, in the driver
def test_ray_gives_the_same_content(tmp_path: Path) -> None:
    made = []
    for name, executor in (("here", InProcess()), ("ray", OnRay())):
        (tmp_path / name).mkdir()
        recipe = load(_recipe(tmp_path / name))
        made.append(digests(runner(recipe, executor).run(recipe)))  # type: ignore[arg-type]
    assert made[0] == made[1]


@pytest.mark.parametrize("method", ["exact", "minhash"])
def test_dedup_behind_a_mix_takes_its_copies_out_again(tmp_path: Path, method: str) -> None:
    path = _recipe(tmp_path)
    stage = f"  unique: {{kind: dedup, needs: mixed, config: {{method: {method}}}}}\n"
    path.write_text(path.read_text() + stage)
    recipe = load(path)
    made = {done.stage.name: done.artifact for done in runner(recipe).run(recipe).stages}
    mixed, ledger = made["mixed"].manifest.ledger, made["unique"].manifest.ledger
    assert ledger.entered == mixed.kept
    assert ledger.dropped_total == mixed.added  # the copies of two books, and nothing else
    assert mixed.added.rows == 28
    kept = [i for table in made["unique"].as_input().tables() for i in table["doc_id"].to_pylist()]
    assert len(set(kept)) == len(kept) == mixed.kept.rows - 28
