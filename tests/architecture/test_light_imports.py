"""A plan must cost a second, not the import of an engine."""

import subprocess
import sys

import pytest

HEAVY = ("ray", "torch", "mlflow", "numba", "deepspeed", "datasets", "transformers", "fasttext")


@pytest.mark.parametrize(
    "module",
    [
        "workflows.plan",
        "workflows.cli",
        "workflows.kinds",
        "workflows.tracking.follow",
        "filters",
        "llada.config",
        "llada.training.sizing",
        "llada.training.schedule",
        "workflows.sizing",
    ],
)
def test_importing_starts_no_engine(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
