"""The chaos benchmark, short: kills at steps of the protocol and at moments; nothing is lost.

`python -m benchmarks.chaos` strikes at every step and with training; the seed of both comes from
LLADA_KILL_SEED where it is set.
"""

import os
from pathlib import Path

import pytest

from benchmarks.chaos import Chaos, Kill, recipe_job

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

SEED = int(os.environ.get("LLADA_KILL_SEED", "0"))
KILLS = [
    Kill(SEED, step="record-link", nth=2),
    Kill(SEED, step="manifest-link", nth=3),
    Kill(SEED, step="lease-link", nth=4),
    Kill(SEED, victim="worker", share=0.5),
    Kill(SEED, victim="node", share=0.5),
    Kill(SEED, victim="everything", share=0.6),
]


def test_killed_runs_resume_and_end_with_the_undisturbed_digests(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path / "runs", recipe_job(training=False))
    tally = chaos.strike_all(KILLS)
    assert tally.problems == [], "\n".join(tally.problems)
    assert tally.kills >= 3, f"struck nothing: {tally.missed}"
