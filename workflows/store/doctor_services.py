"""The doctor on the services: MLflow's records, journals that wait for it, and Ray."""

import json
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

from workflows.store.findings import Finding, Patient

_PATIENCE = 2.5
_DASHBOARD = 8265


def tracking(patient: Patient) -> Iterator[Finding]:
    """Whether the tracking server or database answers, and speaks this MLflow's schema."""
    from workflows.tracking.progress import tracking_uri_for

    uri = tracking_uri_for(patient.store)
    if uri.startswith("sqlite:"):
        yield _database(Path(uri.partition("///")[2]), uri)
    elif uri.startswith(("http://", "https://")):
        yield _server(uri)
    else:
        yield Finding("ok", "mlflow", f"{_shown(uri)} (not asked: no cheap way)")


def _server(uri: str) -> Finding:
    parts = urlsplit(uri)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    remedy = "start it, or unset MLFLOW_TRACKING_URI; runs go on and keep their records meanwhile"
    try:
        with urlopen(f"{bare}/health", timeout=_PATIENCE) as answer:
            answer.read(64)
    except HTTPError as error:
        return Finding("warn", "mlflow", f"{bare}/health answers {error.code}", remedy)
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        return Finding("warn", "mlflow", f"{bare} does not answer: {reason}", remedy)
    return Finding("ok", "mlflow", f"{bare} answers")


def _database(path: Path, uri: str) -> Finding:
    if not path.exists():
        return Finding("ok", "mlflow", f"{path} does not exist yet; the first run makes it")
    aside = f"mv {path} {path}.bad; the next run starts a new one from the journals"
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1)
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Finding("FAIL", "mlflow", f"{path} is not MLflow's database: {error}", aside)
    if row is None:
        return Finding("FAIL", "mlflow", f"{path} has no schema version", aside)
    known, newest = _schemas()
    if known and row[0] not in known:
        found = f"{path} was written by a newer MLflow (schema {row[0]})"
        return Finding("FAIL", "mlflow", found, "python -m pip install --upgrade 'mlflow>=3.17,<4'")
    if known and row[0] not in newest:
        found = f"{path} has an old schema ({row[0]})"
        return Finding("warn", "mlflow", found, f"mlflow db upgrade {uri}")
    return Finding("ok", "mlflow", f"{path}, schema {row[0]}")


def _schemas() -> tuple[set[str], set[str]]:
    """Return all schema versions and the newest of the installed MLflow, without importing it."""
    found = util.find_spec("mlflow")
    if found is None or found.origin is None:
        return set(), set()
    known, before = set(), set()
    for path in (Path(found.origin).parent / "store/db_migrations/versions").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        known.update(re.findall(r"^revision\s*=\s*[\"'](\w+)", text, re.MULTILINE))
        before.update(re.findall(r"^down_revision\s*=\s*[\"'](\w+)", text, re.MULTILINE))
    return known, known - before


def journals(patient: Patient) -> Iterator[Finding]:
    """Whether runs wait to be mirrored into MLflow."""
    from workflows.tracking.drain import Backlog

    waiting = [journal.folder.name for journal in Backlog(patient.store).pending()]
    if waiting:
        found = f"{len(waiting)} runs are not wholly in MLflow yet, first {waiting[0]}"
        yield Finding("warn", "journals", found, f"llada sync --store {patient.store}")
    else:
        yield Finding("ok", "journals", "none waits for MLflow")


def ray(patient: Patient) -> Iterator[Finding]:
    """Whether Ray is installed, and a named cluster answers and has the same version."""
    try:
        own = metadata.version("ray")
    except metadata.PackageNotFoundError:
        yield Finding("FAIL", "ray", "not installed", "make setup")
        return
    yield Finding("ok", "ray", f"{own} installed")
    if patient.address:
        yield _cluster(patient.address, own)


def _cluster(address: str, own: str) -> Finding:
    bare = address if "://" in address else f"//{address}"
    try:
        host, port = urlsplit(bare).hostname, urlsplit(bare).port
    except ValueError:
        host, port = None, None
    if not host:
        return Finding("FAIL", "ray", f"found the address {address!r}",
                       "--address HOST:6379, ray://HOST:10001 or http://HOST:8265")  # fmt: skip
    served = address.startswith(("http://", "https://"))
    if port is None:
        port = _DASHBOARD if served else 6379
    try:
        socket.create_connection((host, port), timeout=_PATIENCE / 2).close()
    except OSError as error:
        return Finding("FAIL", "ray", f"{host}:{port} does not answer: {error}",
                       f"run `ray start --head` on {host}, open the port")  # fmt: skip
    url = address.rstrip("/") if served else f"http://{host}:{_DASHBOARD}"
    try:
        with urlopen(f"{url}/api/version", timeout=_PATIENCE / 2) as answer:
            theirs = str(json.loads(answer.read(4096)).get("ray_version"))
    except (OSError, ValueError, AttributeError) as error:
        found = f"{host}:{port} answers, but its dashboard does not tell the version: {error}"
        remedy = f"ray --version on {host} must say {own}; token: export RAY_AUTH_TOKEN"
        return Finding("warn", "ray", found, remedy)
    if theirs != own:
        return Finding("FAIL", "ray", f"the cluster has {theirs}, this machine {own}",
                       f"python -m pip install 'ray[default,data,train]=={theirs}'")  # fmt: skip
    return Finding("ok", "ray", f"{host}:{port} answers and has {theirs}, too")


def ray_sessions(_: Patient) -> Iterator[Finding]:
    """Whether ended Ray sessions of this user still lie on the disk."""
    root = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray"
    ours = [
        one
        for one in root.glob("session_*")
        if not one.is_symlink() and one.is_dir() and one.stat().st_uid == os.getuid()
    ]
    commands = _command_lines() if ours else ""
    stale = sorted(one for one in ours if one.name not in commands)
    if stale:
        shown = " ".join(str(one) for one in stale[:3]) + (" ..." if len(stale) > 3 else "")
        yield Finding("warn", "ray sessions", f"{len(stale)} ended ones in {root}",
                      f"rm -r {shown}")  # fmt: skip
    else:
        yield Finding("ok", "ray sessions", f"none left behind in {root}")


def _command_lines() -> str:
    """Return the command lines of all processes: those of a Ray session name its folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(lines)


def _shown(uri: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", uri)
