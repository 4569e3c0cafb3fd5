"""Ctrl-C once lets what is in flight end, twice cancels; the next run goes on from what is kept."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.commands import interrupt, llada, start, wait_until
from tests.support.documents import write_jsonl
from workflows.artifact import all_artifacts

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

RECIPE = """\
name: small
store: ./store
stages:
  docs: {kind: source, config: {paths: [data]}}
  text: {kind: extract, needs: docs, config: {unit_bytes: 20000}}
  clean: {kind: filter, needs: text, config: {rules: [gopher], min_language_score: 0.1}}
  unique: {kind: dedup, needs: clean}
  bpe: {kind: tokenizer, needs: unique, config: {vocab_size: 512}}
  tokens:
    kind: tokens
    needs: {documents: unique, tokenizer: bpe}
    config: {sequence_length: 64, validation_share: 0.1}
  base:
    kind: pretrain
    needs: tokens
    config:
      model: tiny
      steps: 200
      batch_size: 8
      micro_batch_size: 4
      precision: fp32
      checkpoint_every: 1000
      schedule: {peak: 1.0e-3, lower: null, final: 1.0e-4, warmup_steps: 2}
"""


def _events(store: Path, kind: str, stage: str) -> int:
    found = 0
    for path in store.glob("_runs/*/events.jsonl"):
        for line in path.read_text().splitlines():
            event = json.loads(line)
            if event["kind"] == kind and event["stage"] == stage:
                found += event["data"].get("verdict") != "REUSE"
    return found


def _runs_ended(store: Path) -> int:
    journals = store.glob("_runs/*/events.jsonl")
    return sum('"kind":"run_finished"' in path.read_text() for path in journals)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for number in range(4):
        write_jsonl(tmp_path / "data" / f"{number}.jsonl", 30, start=1000 * number)
    (tmp_path / "small.yaml").write_text(RECIPE)
    return tmp_path


def _begin(project: Path, name: str) -> tuple[subprocess.Popen[bytes], Path]:
    log = project / f"{name}.log"
    return start("run", "small.yaml", "--keep-going", cwd=project, log=log), log


def test_ctrl_c(project: Path) -> None:
    store = project / "store"

    run, log = _begin(project, "once")
    wait_until(lambda: _events(store, "stage_started", "text"), run, log)
    assert interrupt(run) == 1
    said = log.read_text()
    assert "Ctrl-C again to cancel" in said
    assert "run the same command again to go on.\n  llada run small.yaml --keep-going\n" in said
    assert "Traceback" not in said

    run, log = _begin(project, "twice")
    wait_until(lambda: _events(store, "stage_started", "unique"), run, log)
    os.killpg(run.pid, signal.SIGINT)
    time.sleep(0.1)
    started = time.monotonic()
    assert interrupt(run) == 1
    assert time.monotonic() - started < 30
    assert "Traceback" not in log.read_text()

    begun, ended = _events(store, "stage_started", "unique"), _runs_ended(store)
    run, log = _begin(project, "while it clears away")
    wait_until(lambda: _events(store, "stage_started", "unique") > begun, run, log)
    os.killpg(run.pid, signal.SIGINT)
    wait_until(lambda: _runs_ended(store) > ended, run, log)
    assert interrupt(run) == 1
    said = log.read_text()
    assert said.endswith(
        "run the same command again to go on.\n  llada run small.yaml --keep-going\n"
    )
    assert "Traceback" not in said

    run, log = _begin(project, "training")
    wait_until(lambda: _events(store, "metrics", "base") >= 3, run, log)
    assert interrupt(run) == 1
    assert "Traceback" not in log.read_text()
    (checkpoint,) = (path.parent for path in store.glob("pretrain/*/checkpoints/*/COMPLETE.json"))
    step = int(checkpoint.name.split(".")[0].removeprefix("step-"))
    assert 3 <= step < 200

    done = llada("run", "small.yaml", cwd=project)
    assert "1 checkpoints kept" in done.stderr
    record = next(store.glob("pretrain/*/checkpoints/metrics.jsonl")).read_text()
    steps = [int(step) for step in re.findall(r'"step":(\d+)', record)]
    assert steps == list(range(200))  # no step was computed twice
    names = {artifact.manifest.name for artifact in all_artifacts(store)}
    assert names == {"docs", "text", "clean", "unique", "bpe", "tokens", "base"}
