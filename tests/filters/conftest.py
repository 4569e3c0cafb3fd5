"""Kernels are compiled once before the first test, outside every deadline."""

import pyarrow as pa
import pytest
from hypothesis import settings

from filters import features

settings.register_profile("filters", deadline=None)  # other work shares the machine
settings.load_profile("filters")


@pytest.fixture(scope="session", autouse=True)
def _kernels() -> None:
    features.compute(pa.array(["warm"]))
