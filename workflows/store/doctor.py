"""Examines a machine, a store and the services around it; a new check is a function and a line."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines.errors import PipelineError
from pipelines.probe import probe
from pipelines.storage import StorePath
from workflows.store import doctor_machine as machine
from workflows.store import doctor_packages as packages
from workflows.store import doctor_services as services
from workflows.store import doctor_store as disk
from workflows.store.findings import Check, Finding, Patient


def examine(store: Path, address: str | None = None) -> list[Finding]:
    """Return what every check found, in the order of the table; leaves nothing behind."""
    patient = Patient(store, address)
    with ThreadPoolExecutor(len(CHECKS), thread_name_prefix="doctor") as pool:
        waiting = [pool.submit(_run, about, check, patient) for about, check in CHECKS.items()]
        return [finding for one in waiting for finding in one.result()]


def bucket(root: StorePath) -> list[Finding]:
    """Return whether a bucket keeps the promises that a store rests on."""
    remedy = "use a bucket whose server honours If-None-Match, or a store on a disk"
    return [
        Finding("FAIL", "bucket", f"{one.name}: {one.found}", remedy)
        if not one.ok
        else Finding("ok", "bucket", f"{one.name}: {one.found}")
        for one in probe(root)
    ]


def _run(about: str, check: Check, patient: Patient) -> list[Finding]:
    try:
        return list(check(patient))
    except (OSError, ValueError, PipelineError) as error:
        remedy = "see the message; the other checks went on"
        return [Finding("FAIL", about, f"the check could not be made: {error}", remedy)]


CHECKS: Mapping[str, Check] = {
    "python": packages.python,
    "packages": packages.versions,
    "fasttext": packages.fasttext,
    "store": disk.store,
    "disk space": disk.space,
    "memory": machine.memory,
    "shared memory": machine.shared_memory,
    "cpu": machine.processors,
    "open files": machine.open_files,
    "locale": machine.text_encoding,
    "gpu": machine.graphics,
    "jit locks": machine.compile_locks,
    "code": machine.checkout,
    "mlflow": services.tracking,
    "journals": services.journals,
    "ray": services.ray,
    "ray sessions": services.ray_sessions,
}
