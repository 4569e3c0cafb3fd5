"""The frozen transcripts: one a strategy and faster mode, changed only by `make golden`."""

import json
import runpy
from pathlib import Path

import pytest

from llada.sampling.remasking import STRATEGIES

FOLDER = Path(__file__).parents[2] / "golden"
GOLDEN = runpy.run_path(str(FOLDER / "regenerate.py"))["GOLDEN"]


@pytest.mark.parametrize("name", GOLDEN)
def test_transcript_is_the_frozen_one(name: str) -> None:
    found = json.loads(json.dumps(GOLDEN[name]()))
    assert found == json.loads((FOLDER / name).read_text(encoding="utf-8"))


def test_every_strategy_has_a_transcript() -> None:
    assert {f"sampling_{strategy}.json" for strategy in STRATEGIES} <= set(GOLDEN)
