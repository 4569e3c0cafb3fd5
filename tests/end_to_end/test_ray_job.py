"""A run as a job on a real cluster (one node, on loopback): sent, left, followed, cancelled."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import interrupt, llada, start, wait_until
from tests.support.documents import write_jsonl
from tests.support.runs import write_recipe
from workflows.artifact import all_artifacts
from workflows.journal import Journal

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

BIN = Path(sys.executable).parent


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a head node with its job server; yield the job server's address."""
    folder = tmp_path_factory.mktemp("head")
    dashboard = _free_port()
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    with (folder / "head.log").open("wb") as log:
        head = subprocess.Popen(
            [
                str(BIN / "ray"), "start", "--head", "--block", "--node-ip-address=127.0.0.1",
                f"--port={_free_port()}", f"--dashboard-port={dashboard}",
                f"--dashboard-agent-listen-port={_free_port()}", "--num-cpus=4",
                "--include-dashboard=true", f"--object-store-memory={256 << 20}",
            ],
            stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + 120
    while "block forever" not in (folder / "head.log").read_text():
        assert head.poll() is None, (folder / "head.log").read_text()
        assert time.monotonic() < deadline, (folder / "head.log").read_text()
        time.sleep(0.2)
    yield f"http://127.0.0.1:{dashboard}"
    os.killpg(head.pid, signal.SIGTERM)
    head.wait(timeout=60)


def test_a_job_outlives_its_terminal_and_can_be_followed_and_cancelled(
    cluster: str, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, files=2)
    log = tmp_path / "terminal.log"
    terminal = start("run", recipe, "--address", cluster, "--until", "text", cwd=tmp_path, log=log)
    wait_until(lambda: "sent as" in log.read_text(), terminal, log)
    time.sleep(1)
    interrupt(terminal)
    found = re.search(r"sent as (\S+) to", log.read_text())
    assert found is not None
    run_id = found[1]
    attached = llada("attach", run_id, "--store", "store", cwd=tmp_path)
    assert "text           DONE    20 documents in, 20 kept" in attached.stdout
    assert "detached; the run goes on" in log.read_text()
    assert {a.manifest.name for a in all_artifacts(tmp_path / "store")} == {"docs", "text"}
    journal = Journal(tmp_path / "store" / "_runs" / run_id)
    command = next(journal.milestones()).data["command"]
    assert command == f"llada run {recipe} --address {cluster} --until text"
    assert "text           DONE" in llada("logs", "last", "--store", "store", cwd=tmp_path).stdout

    second = llada("run", recipe, "--address", cluster, "--detach", cwd=tmp_path)
    cancelled = llada("cancel", "last", "--store", "store", "--now", cwd=tmp_path)
    assert "was cancelled; finished shards are kept" in cancelled.stdout
    ended = llada("attach", "last", "--store", "store", cwd=tmp_path, check=1)
    assert "Finished stages and shards are kept" in ended.stderr
    assert second.stderr.count("llada attach") == 1


def test_a_filter_without_a_recipe_is_sent_as_one(cluster: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_jsonl(tmp_path / "in" / "a.jsonl", 12)
    command = ["filter", tmp_path / "in", "--out", tmp_path / "out", "--min-language-score", "0.1"]
    done = llada(*command, "--address", cluster, cwd=tmp_path)
    assert "sent as" in done.stderr
    found = re.search(r"clean +DONE +(\d+) documents in", done.stdout)
    assert found is not None
    assert f"of {found[1]} documents" in done.stdout
    assert (tmp_path / "out" / "report.html").is_file()
    told = json.loads(llada(*command, "--address", cluster, "--json", cwd=tmp_path).stdout)
    assert told["documents"] == int(found[1]) > 10


def test_a_cluster_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, files=1)
    address = f"http://127.0.0.1:{_free_port()}"
    failed = llada("run", recipe, "--address", address, cwd=tmp_path, check=1)
    assert "did not take the request" in failed.stderr
    assert "RAY_AUTH_MODE=token" in failed.stderr
    assert not (tmp_path / "store").exists()
