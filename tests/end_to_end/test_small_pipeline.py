"""The whole pipeline on a small corpus through the real command line: build, reuse, kill, go on."""

import itertools
import json
from pathlib import Path

import pytest

from tests.support.commands import llada
from tests.support.documents import write_jsonl
from workflows.artifact import all_artifacts

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

RECIPE = """\
name: small
store: ./store
stages:
  docs: {kind: source, config: {paths: [data]}}
  text: {kind: extract, needs: docs, config: {unit_bytes: 20000}}
  clean:
    kind: filter
    needs: text
    config: {rules: [gopher], languages: [en], min_language_score: 0.1}
  unique: {kind: dedup, needs: clean}
  good: {kind: judge, needs: unique, config: {sample: 24, batch: 12, keep_share: 0.8}}
  bpe: {kind: tokenizer, needs: good, config: {vocab_size: 512}}
  tokens:
    kind: tokens
    needs: {documents: good, tokenizer: bpe}
    config: {sequence_length: 192, validation_share: 0.1}
  base:
    kind: pretrain
    needs: tokens
    config:
      model: tiny
      steps: 16
      batch_size: 8
      micro_batch_size: 4
      precision: fp32
      checkpoint_every: 4
      schedule: {peak: 1.0e-3, lower: null, final: 1.0e-4, warmup_steps: 2}
  pairs: {kind: instructions, needs: {tokenizer: bpe}, config: {train: 64, evaluation: 8}}
  chat:
    kind: sft
    needs: {model: base, pairs: pairs}
    config:
      steps: 4
      batch_size: 8
      micro_batch_size: 4
      precision: fp32
      checkpoint_every: 4
      schedule: {peak: 1.0e-3, lower: null, final: 1.0e-4, warmup_steps: 1}
  text_report:
    kind: evaluate
    needs: {model: base, tokens: tokens}
    config: {sequences: 4, monte_carlo: 2, samples: 3, gen_length: 16, block_length: 16, steps: 16,
             prompt_length: 8}
  chat_report:
    kind: evaluate
    needs: {model: chat, pairs: pairs}
    config: {gen_length: 16, block_length: 16, steps: 16, problems: 4}
"""


def write_project(folder: Path) -> Path:
    """Lay out a folder with a corpus of 128 documents and the recipe above."""
    (folder / "data").mkdir(parents=True)
    for number in range(4):
        write_jsonl(folder / "data" / f"{number}.jsonl", 30, start=1000 * number)
    (folder / "small.yaml").write_text(RECIPE)
    return folder


def _digests(folder: Path) -> dict[str, str]:
    return {a.manifest.name: a.manifest.digest for a in all_artifacts(folder / "store")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = write_project(tmp_path_factory.mktemp("built"))
    return folder, llada("run", "small.yaml", cwd=folder).stdout


def test_the_run_ends_with_a_page_to_read(built: tuple[Path, str]) -> None:
    _, page = built
    titles = (
        "FUNNEL",
        "JUDGE",
        "TOKENS",
        "LOSS",
        "LIKELIHOOD",
        "EXACT MATCH",
        "SAMPLE 3",
        "WHERE",
        "NEXT",
    )
    rules = ("gopher_short_doc", "duplicate_exact", "low_quality")
    for part in (*titles, *rules, "mlflow.db", "llada lineage"):
        assert part in page
    assert "12 ran" in page


def test_every_ledger_balances(built: tuple[Path, str]) -> None:
    manifests = {a.manifest.name: a.manifest for a in all_artifacts(built[0] / "store")}
    assert len(manifests) == 12
    for manifest in manifests.values():
        manifest.ledger.balance(manifest.name)
    assert manifests["text"].ledger.entered.rows == 4 * 32
    chain = ["text", "clean", "unique", "good", "tokens"]
    for before, after in itertools.pairwise(chain):
        assert manifests[before].ledger.kept == manifests[after].ledger.entered


def test_a_second_run_reuses_everything_and_starts_no_ray(built: tuple[Path, str]) -> None:
    folder, _ = built
    plan = json.loads(llada("plan", "small.yaml", "--json", cwd=folder).stdout)["stages"]
    assert {row["verdict"] for row in plan} == {"REUSE"}
    sessions = set(Path("/tmp/ray").glob("session_2*"))
    assert "12 reused" in llada("run", "small.yaml", cwd=folder).stdout
    assert set(Path("/tmp/ray").glob("session_2*")) == sessions


def test_lineage_leads_from_the_checkpoint_to_the_files(built: tuple[Path, str]) -> None:
    tree = llada("lineage", "chat", "--store", "store", cwd=built[0]).stdout
    for name in ("chat (sft)", "base (pretrain)", "good (judge)", "docs (source)", "0.jsonl"):
        assert name in tree


def test_a_dropped_document_is_explained(built: tuple[Path, str]) -> None:
    folder, page = built
    doc_id = page.rsplit("llada explain ", 1)[1].split()[0]
    told = llada("explain", doc_id, "--store", "store", cwd=folder).stdout
    assert "kept     text (extract)" in told
    assert "DROPPED  clean (filter)" in told
    assert "rule gopher_short_doc: words = 4, limit 50" in told


def test_generate_is_fixed_by_its_seed(built: tuple[Path, str]) -> None:
    command = ["generate", "--store", "store", "--prompt", "the river", "--temperature", "1",
               "--length", "16", "--block", "16", "--steps", "16"]  # fmt: skip
    first, second = (llada(*command, "--seed", "3", cwd=built[0]).stdout for _ in range(2))
    other = llada(*command, "--seed", "4", cwd=built[0]).stdout
    assert first == second != other


def test_changed_training_code_stops_the_run_until_someone_decides(
    built: tuple[Path, str],
) -> None:
    folder, _ = built
    path = next(folder.glob("store/pretrain/base-*/manifest.json"))
    published = path.read_bytes()
    manifest = json.loads(published)
    manifest["code_parts"]["llada.training.loop.run_rank"] = "another"
    manifest["code_hash"] = "another"
    path.write_text(json.dumps(manifest))
    try:
        plan = json.loads(llada("plan", "small.yaml", "--json", cwd=folder).stdout)["stages"]
        rows = {row["name"]: row for row in plan}
        assert rows["base"]["verdict"] == "DRIFT"
        assert "llada.training.loop.run_rank changed" in rows["base"]["why"]
        refused = llada("run", "small.yaml", cwd=folder, check=1).stderr
        assert "--accept-drift" in refused
        assert "--force base" in refused
        assert "12 reused" in llada("run", "small.yaml", "--accept-drift", cwd=folder).stdout
    finally:
        path.write_bytes(published)
