"""A tracking server before PostgreSQL, started once for the tests that ask for it."""

from collections.abc import Iterator

import pytest

from tests.support.mlflow_server import TrackingServer, postgres_binaries, team_server


@pytest.fixture(scope="session")
def tracking_server() -> Iterator[TrackingServer]:
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    pytest.importorskip("psycopg2", reason="MLflow needs psycopg2 for it (it is in the extra dev)")
    with team_server(binaries) as server:
        yield server
