"""The doctor against real trouble: disks that refuse, servers that are down, locks left behind."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.commands import llada
from tests.support.kept_stores import tree
from workflows.store import doctor_machine, doctor_packages, doctor_services, doctor_store
from workflows.store.doctor import CHECKS, examine
from workflows.store.findings import Finding, Patient


def _about(findings: list[Finding], level: str) -> list[str]:
    return [one.found for one in findings if one.level == level]


def test_a_sound_place_passes_and_nothing_is_left_behind(store: Path) -> None:
    before = tree(store)
    findings = examine(store)
    assert {one.about for one in findings} >= {"store", "clock", "memory", "mlflow", "ray"}
    assert len(CHECKS) == 17
    said = [one.found for one in findings if one.about == "store"]
    assert any("put-if-absent is exclusive (1 of 8" in found for found in said)
    assert all(bool(one.remedy) == (one.level != "ok") for one in findings)
    assert tree(store) == before


def test_a_missing_store_is_no_fault_and_is_not_made(tmp_path: Path) -> None:
    findings = list(doctor_store.store(Patient(tmp_path / "a" / "b")))
    assert _about(findings, "FAIL") == []
    assert "does not exist yet" in findings[0].found
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_store_fails(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    (only,) = doctor_store.store(Patient(tmp_path / "f"))
    assert (only.level, only.remedy) == ("FAIL", "set `store:` to a folder")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield disk
    subprocess.run(["umount", str(disk)], capture_output=True, check=True)


def test_a_full_and_then_a_read_only_disk(small_disk: Path) -> None:
    *_, full = doctor_store.store(Patient(small_disk / "store"))
    assert (full.level, full.found) == ("FAIL", f"{small_disk} takes no more data")
    assert "llada gc" in full.remedy
    assert list(small_disk.iterdir()) == []
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    *_, refused = doctor_store.store(Patient(small_disk))
    assert (refused.level, refused.found) == ("FAIL", f"{small_disk} is read-only")
    assert any("0.0 GB free" in one.found and one.level == "warn"
               for one in doctor_store.space(Patient(small_disk)))  # fmt: skip


def test_a_file_size_limit_is_told_apart(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from workflows.store import doctor_store, findings\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "print([f.line for f in doctor_store.store(findings.Patient(Path(sys.argv[1])))][-1])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout.startswith("FAIL store")
    assert "ulimit -f" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "level", "said"),
    [
        ("numpy>=2,<3", None, ""),
        ("numpy<2", "FAIL", "allowed: <2"),
        ("no-such-package-here==1", "FAIL", "not installed"),
        ("no-such-package-here==1 ; python_version < '3'", None, ""),
    ],
)
def test_packages_are_held_against_their_ranges(text: str, level: str | None, said: str) -> None:
    found = doctor_packages._package(Requirement(text), "FAIL")
    assert (found.level if found else None) == level
    assert found is None or (said in found.found and "pip install" in found.remedy)


def test_a_lock_of_a_killed_compile_fails_and_a_young_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    lock = tmp_path / "py311_cpu" / "fused_adam" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    patient = Patient(tmp_path)
    assert [one.level for one in doctor_machine.compile_locks(patient)] == ["ok"]
    os.utime(lock, (time.time() - 3600, time.time() - 3600))
    (found,) = doctor_machine.compile_locks(patient)
    assert (found.level, found.remedy) == ("FAIL", f"rm {lock}")


def test_limits_of_a_container_are_read_in_both_versions(tmp_path: Path) -> None:
    assert doctor_machine.memory_limit(tmp_path) is None
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("1000000\n")
    assert doctor_machine.memory_limit(tmp_path) == 1_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor_machine.memory_limit(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert doctor_machine.processor_quota(tmp_path) == 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert doctor_machine.processor_quota(tmp_path) is None


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = {"/health": b"OK", "/api/version": json.dumps({"ray_version": "1.0"}).encode()}
        self.send_response(200 if self.path in known else 404)
        self.end_headers()
        self.wfile.write(known.get(self.path, b""))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_a_tracking_server_is_asked_and_its_password_not_shown(
    server: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.replace("//", "//me:hidden@"))
    (found,) = doctor_services.tracking(Patient(store))
    assert (found.level, found.found) == ("ok", f"{server} answers")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hidden@127.0.0.1:9")
    (down,) = doctor_services.tracking(Patient(store))
    assert down.level == "warn"
    assert "hidden" not in down.line
    assert "unset MLFLOW_TRACKING_URI" in down.remedy


def test_a_database_is_read_and_its_schema_known(store: Path) -> None:
    def level() -> str:
        (found,) = doctor_services.tracking(Patient(store))
        return found.level

    assert level() == "ok"  # not there yet
    database = store / "mlflow.db"
    database.write_bytes(b"no database")
    assert level() == "FAIL"
    database.unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num)")
    assert level() == "FAIL"
    known, (newest,) = doctor_services._schemas()
    (older, *_) = known - {newest}
    for version, expected in ((newest, "ok"), (older, "warn"), ("ffffffffffff", "FAIL")):
        connection.execute("DELETE FROM alembic_version")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (version,))
        connection.commit()
        assert level() == expected
    connection.close()


def test_a_cluster_of_another_version_or_none_at_all_fails(server: str, tmp_path: Path) -> None:
    for address, said in ((server, "the cluster has 1.0"), ("127.0.0.1:9", "does not answer")):
        own, cluster = doctor_services.ray(Patient(tmp_path, address))
        assert own.level == "ok"
        assert cluster.level == "FAIL"
        assert said in cluster.found


def test_ended_ray_sessions_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    for name in ("session_ended", "session_alive"):
        (tmp_path / "ray" / name).mkdir(parents=True)
    wait = [sys.executable, "-c", "input('up')", str(tmp_path / "ray" / "session_alive")]
    with subprocess.Popen(wait, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as alive:
        assert alive.stdout is not None
        alive.stdout.read(2)  # it runs: before that its command line may not be there
        (found,) = doctor_services.ray_sessions(Patient(tmp_path))
        alive.communicate(b"\n")
    assert (found.level, found.remedy) == ("warn", f"rm -r {tmp_path / 'ray' / 'session_ended'}")


def test_runs_that_mlflow_lacks_are_counted(store: Path) -> None:
    (found,) = doctor_services.journals(Patient(store))
    assert found.level == "warn"
    assert found.found.startswith("2 runs are not wholly in MLflow")


def test_the_verb_exits_with_1_for_a_failure(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    done = llada("doctor", "--store", "f", "--json", cwd=tmp_path, check=1)
    told = json.loads(done.stdout)
    assert not told["ok"]
    assert set(told["findings"][0]) == {"level", "about", "found", "remedy"}
