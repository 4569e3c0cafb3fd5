"""A real tracking server as a team runs it: MLflow before PostgreSQL, on loopback."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DATABASE = "mlflow"


def postgres_binaries() -> Path | None:
    """Return the folder with initdb and postgres, None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


class Postgres:
    """A database cluster of its own behind a Unix socket; PostgreSQL refuses to run as root."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries, self._folder = binaries, folder
        self._as: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            ids = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
            self._as = ["setpriv", *ids]
        folder.chmod(0o700)
        self._run("initdb", "-D", "data", "-U", "mlflow", "-A", "trust", "--no-sync", "-E", "UTF8")
        self._process = subprocess.Popen(
            [
                *(*self._as, str(binaries / "postgres"), "-D", "data", "-k", str(folder)),
                *("-c", "listen_addresses=", "-c", "fsync=off"),
            ],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 90
        while not self._create_database():
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.1)

    @property
    def uri(self) -> str:
        return f"postgresql+psycopg2://mlflow@/{DATABASE}?host={self._folder}"

    def stop(self) -> None:
        # SIGQUIT: at once. `setpriv` has become the postmaster, so it hears it itself.
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=30)

    def _run(self, tool: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as, str(self._binaries / tool), *arguments],
            cwd=self._folder, check=True, capture_output=True,
        )  # fmt: skip

    def _create_database(self) -> bool:
        with suppress(subprocess.CalledProcessError):
            self._run("createdb", "-h", str(self._folder), "-U", "mlflow", DATABASE)
            return True
        return False


class TrackingServer:
    """`mlflow server`, to be stopped and started again at the same address."""

    def __init__(self, backend: str, folder: Path) -> None:
        self._backend, self._folder = backend, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                    *("--backend-store-uri", self._backend),
                    *("--artifacts-destination", str(self._folder / "files")),
                    *("--host", "127.0.0.1", "--port", str(self._port)),
                ],
                cwd=self._folder, stdout=output, stderr=output, start_new_session=True,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            )  # fmt: skip
        deadline = time.monotonic() + 150
        while not self._answers():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=30)

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
            return bool(answer.status == 200)
        return False


@contextmanager
def team_server(binaries: Path) -> Iterator[TrackingServer]:
    """Run PostgreSQL and MLflow before it, and leave nothing behind."""
    # Not in pytest's folders: another user cannot enter them, and a socket's path must be short.
    root = Path(tempfile.mkdtemp(prefix="llada-pg-"))
    root.chmod(0o755)
    (root / "postgres").mkdir()
    (root / "mlflow").mkdir()
    postgres = Postgres(binaries, root / "postgres")
    try:
        server = TrackingServer(postgres.uri, root / "mlflow")
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        postgres.stop()
        shutil.rmtree(root)
