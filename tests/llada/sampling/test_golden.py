"""The frozen transcripts: one a strategy, changed only by `make golden`."""

import json
import runpy
from pathlib import Path

import pytest

from llada.sampling.remasking import STRATEGIES

FOLDER = Path(__file__).parents[2] / "golden"
GOLDEN = runpy.run_path(str(FOLDER / "regenerate.py"))["GOLDEN"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_transcript_is_the_frozen_one(strategy: str) -> None:
    name = f"sampling_{strategy}.json"
    assert GOLDEN[name]() == json.loads((FOLDER / name).read_text(encoding="utf-8"))
