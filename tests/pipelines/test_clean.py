import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipelines import clean
from pipelines.clean import CleanConfig
from pipelines.executors import InProcess, OnRay
from pipelines.ledger import Change
from pipelines.repeated_lines import RepeatedIn, SumWorker, parts_of
from pipelines.shards import Role
from pipelines.workspace import Executor, Resources, Workspace
from tests.support.documents import prose
from workflows.artifact import Artifact, content_digest
from workflows.lineage.documents import explain, way_of
from workflows.plan import Planner
from workflows.recipe import load_recipe
from workflows.runner import Runner
from workflows.summary import describe, funnel

MENU = "Home, shop, or mail to shop@site.org."
RECIPE = """\
name: small
store: {folder}/store
stages:
  docs: {{kind: source, config: {{paths: [{folder}/data]}}}}
  text: {{kind: extract, needs: docs, config: {{unit_bytes: 2000}}}}
  clean:
    kind: clean
    needs: text
    config:
      edits: [unicode, repeated_lines, c4_lines, pii]
      repeated_lines: {{min_documents: 6}}
  unique: {{kind: dedup, needs: clean}}
"""


def _run(folder: Path, executor: Executor) -> dict[str, Artifact]:
    """The stages of a run over 17 documents in several units: a menu on one site, an address."""
    (folder / "data").mkdir()
    for part in range(2):
        rows = [
            {
                "text": f"{MENU}\n{prose(10 * part + n)}\r\nAsk jane@example.org about {part}{n}.",
                "url": f"https://{'a' if n % 4 else 'b'}.org/{part}{n}",
            }
            for n in range(8)
        ]
        path = folder / "data" / f"{part}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with path.open("a") as handle:
        handle.write(json.dumps({"text": "Home | Cart"}) + "\n")
    recipe = folder / "small.yaml"
    recipe.write_text(RECIPE.format(folder=folder))
    loaded = load_recipe(recipe, {})
    result = Runner(Planner(Path(loaded.store), folder), executor).run(loaded)
    return {done.stage.name: done.artifact for done in result.stages}


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    return _run(tmp_path_factory.mktemp("clean"), InProcess())


def _rows(artifact: Artifact, role: Role) -> list[dict[str, object]]:
    tables = [
        pq.read_table(artifact.folder / entry.path)
        for entry in artifact.manifest.files
        if entry.role == role and not entry.shard.startswith("repeated")
    ]
    return pa.concat_tables(tables).to_pylist()


def test_the_ledger_balances_with_what_edits_took_out(cleaned: dict[str, Artifact]) -> None:
    ledger = cleaned["clean"].manifest.ledger.balance("clean")
    assert ledger.entered == cleaned["text"].manifest.ledger.kept
    assert ledger.kept == cleaned["unique"].manifest.ledger.entered
    assert (ledger.entered.rows, ledger.kept.rows) == (17, 16)
    assert ledger.dropped["empty_after_edits"].rows == 1
    assert ledger.edited["pii.email"] == Change(rows=16, removed=16 * 16 + 4 * 13, added=20 * 7)
    assert ledger.edited["unicode.line_break"] == Change(rows=16, removed=16)
    assert ledger.edited["repeated_lines.repeated_line"].removed == 12 * (len(MENU) + 1)


def test_lines_repeated_across_units_go_from_the_site_that_repeats_them(
    cleaned: dict[str, Artifact],
) -> None:
    rows = _rows(cleaned["clean"], "data")
    with_menu = [str(row["url"]) for row in rows if str(row["text"]).startswith(MENU[:10])]
    assert len(with_menu) == 4
    assert all(url.startswith("https://b.org") for url in with_menu)
    assert len({entry.shard for entry in cleaned["clean"].manifest.files}) > 5


def test_what_was_done_stands_beside_the_document_and_in_a_file(
    cleaned: dict[str, Artifact],
) -> None:
    report = _rows(cleaned["clean"], "aside")
    lines = [row["lines"] for row in report if row["edit"] == "repeated_lines"]
    line = {"text": "Home, shop, or mail to [EMAIL].", "documents": 12}
    assert lines == [[line]] * 12
    assert "@" not in json.dumps(report)
    assert "jane@" not in cleaned["clean"].manifest.model_dump_json()
    for row in _rows(cleaned["clean"], "data"):
        kinds = [edit["kind"] for edit in row["edits"]]  # type: ignore[attr-defined]
        assert kinds[0] == "line_break"
        assert kinds[-1] == "email"
        assert "[EMAIL]" in str(row["text"])
    (dropped,) = _rows(cleaned["clean"], "rejects")
    assert (dropped["text"], dropped["stage"]) == ("Home | Cart", "clean")


def test_the_run_counts_and_tells_edits(cleaned: dict[str, Artifact]) -> None:
    manifest = cleaned["clean"].manifest
    assert manifest.metrics["documents_changed"] == 16
    assert manifest.metrics["found.pii.email"] == 20
    assert "edited: pii.email                       16  -308 +140 bytes" in funnel([manifest])
    assert "pii.email: 16 edited, -308 +140 bytes" in describe(cleaned["clean"])


def test_a_document_tells_its_edits(cleaned: dict[str, Artifact]) -> None:
    row = next(r for r in _rows(cleaned["clean"], "data") if "b.org" not in str(r["url"]))
    told = explain(way_of(str(row["doc_id"]), cleaned["clean"].folder.parents[1]))
    line = "edited so far: unicode.line_break x 1, repeated_lines.repeated_line x 1, pii.email x 1"
    assert told.count(line) == 1


def test_parts_cover_every_key_once_and_sum_to_the_whole(tmp_path: Path) -> None:
    keys = [0, 5, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    for number, some in enumerate((keys, keys[1:])):
        table = pa.table({"key": pa.array(some, pa.uint64()), "documents": [2] * len(some)})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    counted = [str(tmp_path / f"{number}.parquet") for number in range(2)]
    parts = parts_of(9, at_once=3)
    assert [part.low for part in parts[1:]] == [part.high for part in parts[:-1]]
    worker = SumWorker(str(tmp_path), "aaaa", counted, least=3)
    paths = [tmp_path / worker(part.model_dump()).files[0].path for part in parts]
    assert len(paths) == 3
    asked = pa.array([*keys[:2], 6, *keys[2:]], pa.uint64()).to_numpy()
    assert RepeatedIn(map(str, paths))(asked).tolist() == [0, 4, 0, 4, 4, 4]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"edits": []}, "found none; name some"),
        ({"edits": ["pii", "pii"]}, "found 'pii' twice"),
        ({"edits": ["pii"], "c4_lines": {"min_words": 2}}, "c4_lines is set, but edits are pii"),
        ({"edits": ["PII"]}, "'unicode', 'repeated_lines', 'c4_lines' or 'pii'"),
        ({"c4_lines": {"min_word": 2}}, "Extra inputs are not permitted"),
    ],
)
def test_impossible_settings_are_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CleanConfig.model_validate(config)


def test_a_config_written_out_in_full_is_read_again() -> None:
    config = CleanConfig(edits=("unicode",))
    assert CleanConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own, in the driver
def test_workers_on_ray_make_the_same_bytes(
    cleaned: dict[str, Artifact], ray_session: None, tmp_path: Path
) -> None:
    here = cleaned["clean"].manifest
    inputs = {"documents": cleaned["text"].as_input()}
    root = tmp_path / "clean" / "clean-x"
    workspace = Workspace("clean", root, "aaaa", inputs, Resources(workers=1), OnRay())
    output = clean.run(workspace, CleanConfig.model_validate(here.config))
    assert content_digest(output.files) == here.digest
    assert output.ledger == here.ledger
