"""A training whose store is a bucket, killed with all its processes, goes on on another machine."""

import contextlib
import json
import shutil
from pathlib import Path

import psutil
import pytest

from pipelines import storage
from pipelines.checkpoint_mirror import in_store
from pipelines.storage import StorePath
from tests.support.commands import kill, llada, start, wait_until
from tests.support.documents import write_jsonl
from workflows.artifact import all_artifacts

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

RECIPE = """\
name: small
store: {store}
stages:
  docs: {{kind: source, config: {{paths: [data]}}}}
  text: {{kind: extract, needs: docs}}
  bpe: {{kind: tokenizer, needs: text, config: {{vocab_size: 512}}}}
  tokens:
    kind: tokens
    needs: {{documents: text, tokenizer: bpe}}
    config: {{sequence_length: 64}}
  base:
    kind: pretrain
    needs: tokens
    config:
      model: tiny
      steps: 90
      batch_size: 8
      micro_batch_size: 4
      precision: fp32
      checkpoint_every: 20
      schedule: {{peak: 1.0e-3, lower: null, final: 1.0e-4, warmup_steps: 2}}
"""


def _checkpoints(store: StorePath) -> list[int]:
    """Return the steps of the checkpoints that the bucket holds, newest first."""
    return [found.step for root in store.glob("pretrain/*/checkpoints") for found in in_store(root)]


def test_a_killed_training_goes_on_from_the_bucket_alone(tmp_path: Path, s3_store: str) -> None:
    (tmp_path / "data").mkdir()
    for number in range(3):
        write_jsonl(tmp_path / "data" / f"{number}.jsonl", 30, start=1000 * number)
    (tmp_path / "small.yaml").write_text(RECIPE.format(store=s3_store))
    store, log = storage.store_root(s3_store), tmp_path / "first.log"

    run = start("run", "small.yaml", cwd=tmp_path, log=log)
    wait_until(lambda: _checkpoints(store), run, log)
    family = psutil.Process(run.pid).children(recursive=True)
    kill(run)
    for process in family:  # the machine is gone, and its disk
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    shutil.rmtree(tmp_path / "cache")
    kept = _checkpoints(store)[0]
    assert 20 <= kept < 90

    llada("run", "small.yaml", cwd=tmp_path)
    (base,) = (a for a in all_artifacts(store) if a.manifest.name == "base")
    aside = {entry.shard: base.folder / entry.path for entry in base.manifest.files}
    record, attempts = (
        [json.loads(line) for line in aside[name].read_bytes().splitlines() if line]
        for name in ("metrics.jsonl", "attempts.jsonl")
    )
    # Steps after the checkpoint were computed again: the last line of each counts.
    assert sorted({line["step"] for line in record}) == list(range(90))
    assert [attempt["first_step"] for attempt in attempts] == [kept]  # of this machine
