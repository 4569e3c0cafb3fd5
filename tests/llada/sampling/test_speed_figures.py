"""The script that measures speed: it runs, and finds the exact mode equal to the plain loop."""

import re
from collections.abc import Iterator

import pytest
import torch

from benchmarks import sampling


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_exact_mode_is_measured_against_the_same_text(capsys: pytest.CaptureFixture[str]) -> None:
    sampling.main(["--quick"])
    said = capsys.readouterr().out
    assert re.search(r"^exact +32 .* 100\.0%$", said, flags=re.MULTILINE)
    assert re.search(r"^dual cache +8 +\d", said, flags=re.MULTILINE)
