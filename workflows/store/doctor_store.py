"""The doctor on a store on a local disk: can it do what the commit protocol asks of it."""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines import storage
from pipelines.errors import StoreError
from workflows.store.findings import Finding, Patient, gigabytes

_PROBE = 1 << 20
_LITTLE = 10e9
_RACERS = 8


def store(patient: Patient) -> Iterator[Finding]:
    """Create, link, read back and time a few files in the store, in a folder that goes again."""
    root = patient.store
    if root.exists() and not root.is_dir():
        yield Finding("FAIL", "store", f"{root} is a file", "set `store:` to a folder")
        return
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    if place == root:
        yield Finding("ok", "store", str(root))
    else:
        yield Finding(
            "ok", "store", f"{root} does not exist yet; the first run makes it in {place}"
        )
    probe = place / f".llada-doctor-{uuid.uuid4().hex[:8]}"
    try:
        probe.mkdir()
        yield from _probe(probe)
    except (OSError, StoreError) as error:
        yield _refused(error, place)
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def _probe(probe: Path) -> Iterator[Finding]:
    started = time.monotonic()
    payload = os.urandom(_PROBE)
    storage.write_bytes(probe / "file", payload)
    seconds = time.monotonic() - started
    if (probe / "file").read_bytes() != payload:
        yield Finding("FAIL", "store", "what was written reads back differently",
                      "set `store:` to another disk, and check this one")  # fmt: skip
        return
    level, remedy = ("ok", "") if seconds < 1 else ("warn", "set `store:` to a faster disk")
    found = f"writable; 1 MiB written, fsynced and read back in {seconds * 1000:.0f} ms"
    yield Finding("warn" if level == "warn" else "ok", "store", found, remedy)
    yield _clock(probe / "file")
    yield _exclusive(probe)


def _clock(file: Path) -> Finding:
    storage.write_bytes(file.with_name("clock"), b"")
    skew = file.with_name("clock").stat().st_mtime - time.time()
    found = f"the store's clock differs from this machine's by {abs(skew):.1f} s"
    remedy = "set the clocks on both sides: timedatectl set-ntp true"
    if abs(skew) < 2:
        return Finding("ok", "clock", found)
    return Finding("warn" if abs(skew) < 300 else "FAIL", "clock", found, remedy)


def _exclusive(probe: Path) -> Finding:
    """Whether of many writers of one name exactly one wins: manifests rest on it."""
    try:
        first = storage.put_if_absent(probe / "once", b"first")
        second = storage.put_if_absent(probe / "once", b"second")
        with ThreadPoolExecutor(_RACERS) as pool:
            race = pool.map(lambda n: storage.put_if_absent(probe / "race", b"%d" % n),
                            range(_RACERS))  # fmt: skip
            winners = sum(race)
    except StoreError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _NO_LINKS:
            return Finding("FAIL", "store", "no hard links on this file system; commits need them",
                           "set `store:` to ext4, xfs, btrfs, zfs, tmpfs or NFS")  # fmt: skip
        raise
    kept = (probe / "once").read_bytes()
    if (first, second, winners, kept) != (True, False, 1, b"first"):
        return Finding(
            "FAIL",
            "store",
            f"put-if-absent is not exclusive here: {winners} of {_RACERS} writers won",
            "set `store:` to a disk with POSIX link(2), such as ext4, xfs or NFS",
        )
    return Finding("ok", "store", f"put-if-absent is exclusive (1 of {_RACERS} writers won)")


_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def _refused(error: OSError | StoreError, place: Path) -> Finding:
    cause = error if isinstance(error, OSError) else error.__cause__
    code = cause.errno if isinstance(cause, OSError) else None
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        limit = " (a file size limit: ulimit -f)" if code == errno.EFBIG else ""
        return Finding("FAIL", "store", f"{place} takes no more data{limit}",
                       "free some space: llada gc; or set `store:` to a larger disk")  # fmt: skip
    if code == errno.EROFS:
        return Finding("FAIL", "store", f"{place} is read-only",
                       "mount -o remount,rw its disk, or set `store:` elsewhere")  # fmt: skip
    if code in (errno.EACCES, errno.EPERM):
        return Finding("FAIL", "store", f"{place} is not yours to write to",
                       f"chown -R $USER {place}, or set `store:` elsewhere")  # fmt: skip
    return Finding("FAIL", "store", f"{place} cannot be used: {error}", "set `store:` elsewhere")


def space(patient: Patient) -> Iterator[Finding]:
    """Whether there is room for what the last recipe made, three times over."""
    place = next(folder for folder in (patient.store, *patient.store.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    wanted = max(_LITTLE, 3.0 * _newest_bytes(patient.store))
    found = f"{gigabytes(free)} free ({gigabytes(wanted)} are comfortable)"
    remedy = "llada gc shows what can go; or set `store:` to a larger disk"
    yield (
        Finding("ok", "disk space", found)
        if free >= wanted
        else Finding("warn", "disk space", found, remedy)
    )
    state = os.statvfs(place)
    if state.f_files and state.f_favail < 10_000:
        found = f"{state.f_favail:,} more files fit on the disk (inodes)"
        yield Finding("warn", "disk space", found, remedy)


def _newest_bytes(root: Path) -> int:
    """Return what the artifacts of the newest run weigh."""
    from workflows.artifact import all_artifacts

    try:
        found = list(all_artifacts(root))
    except StoreError:
        return 0  # `llada verify` says what is wrong with it
    last = found[-1].manifest.run_id if found else ""
    chosen = [one.manifest for one in found if one.manifest.run_id == last]
    return sum(entry.bytes for manifest in chosen for entry in manifest.files)
