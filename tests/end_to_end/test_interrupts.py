"""Ctrl-C in each stage of a small run: one sentence, no traceback, and the next run goes on."""

import json
from pathlib import Path

import pytest

from tests.end_to_end.test_small_pipeline import write_project
from tests.support.commands import interrupt, llada, start, wait_until
from workflows.artifact import all_artifacts

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

STAGES = ("docs", "text", "clean", "unique", "good")
"""Longer lists pass as well and cost minutes: training is killed in test_small_pipeline.py."""


def _started(store: Path, stage: str) -> bool:
    for path in store.glob("_runs/*/events.jsonl"):
        for line in path.read_text().splitlines():
            event = json.loads(line)
            if event["kind"] == "stage_started" and event["stage"] == stage:
                return event["data"]["verdict"] != "REUSE"
    return False


def test_ctrl_c_in_each_stage_is_clean_and_the_next_run_goes_on(tmp_path: Path) -> None:
    write_project(tmp_path)
    for stage in STAGES:
        log = tmp_path / f"{stage}.log"
        run = start("run", "small.yaml", cwd=tmp_path, log=log)
        wait_until(lambda stage=stage: _started(tmp_path / "store", stage), run, log)  # type: ignore[misc]
        code, said = interrupt(run), log.read_text()
        assert "Traceback" not in said, said
        if code:  # a stage of a few milliseconds may finish before the signal arrives
            assert code == 1, said
            assert "run the same command again" in said, said
    llada("run", "small.yaml", "--until", "unique", cwd=tmp_path)
    names = {artifact.manifest.name for artifact in all_artifacts(tmp_path / "store")}
    assert names == {"docs", "text", "clean", "unique"}
