"""Which files of the installed Python packages are documentation: real text that is always there.

Python sources (their docstrings), the description in METADATA, licences, and the topics of the
language reference in the standard library. Nothing is imported or executed. Folders of tests are
dropped by name; compiled code, headers and data are no documentation and never candidates.
"""

import csv
import importlib.metadata
import os
import platform
import stat
import sysconfig
from collections.abc import Iterator
from difflib import get_close_matches

import xxhash

from pipelines.errors import InputError
from pipelines.found_files import FoundFile

STANDARD_LIBRARY = "python"
ALL = "*"
_TESTS = frozenset({"test", "tests", "idle_test"})
_NOT_STANDARD = frozenset({"site-packages", "dist-packages", "lib-dynload", "__pycache__"})
_LICENCES = ("LICENSE", "LICENCE", "COPYING", "NOTICE")


def package_files(packages: tuple[str, ...], most_bytes: int | None = None) -> list[FoundFile]:
    """Return the documentation of distributions, each file once, named "numpy-2.4.6/numpy/...".

    `most_bytes` keeps a sample of each package: files in the order of a hash of their name while
    they fit, so that a sample is not the beginning of the alphabet.

    Raises:
        InputError: a distribution is not installed, or has no list of its files.
    """
    found: dict[str, FoundFile] = {}
    for package in _every_package() if ALL in packages else sorted(packages):
        files = list(_files(package))
        for file in _sample(files, most_bytes) if most_bytes is not None else files:
            found.setdefault(file.path, file)  # mlflow and mlflow-skinny claim the same files
    return list(found.values())


def _files(package: str) -> Iterator[FoundFile]:
    if package == STANDARD_LIBRARY:
        return _standard_library()
    return _distribution_files(_distribution(package))


def _every_package() -> list[str]:
    names = {
        distribution.metadata["Name"]
        for distribution in importlib.metadata.distributions()
        if distribution.read_text("RECORD") is not None
    }
    return [STANDARD_LIBRARY, *sorted(names)]


def _distribution(package: str) -> importlib.metadata.Distribution:
    candidates = list(importlib.metadata.distributions(name=package))
    for candidate in candidates:
        if candidate.read_text("RECORD") is not None:
            return candidate
    if candidates:
        raise InputError(
            f"source: the package {package!r} has no list of its files (RECORD), so it was not "
            "installed by pip. Install it with `pip install`, or name its folder in `paths`."
        )
    known = [STANDARD_LIBRARY, *(d.metadata["Name"] for d in importlib.metadata.distributions())]
    close = get_close_matches(package, known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise InputError(
        f"source: the package {package!r} is not installed here.{hint} Install it with "
        f"`pip install {package}`, or remove it from `packages` ('{STANDARD_LIBRARY}' is the "
        f"standard library, '{ALL}' is everything installed)."
    )


def _distribution_files(distribution: importlib.metadata.Distribution) -> Iterator[FoundFile]:
    home = f"{distribution.metadata['Name']}-{distribution.version}"
    root = os.path.realpath(str(distribution.locate_file("")))
    inside = _Inside(root)
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        format_ = _format_of(row[0]) if row else None
        if format_ is not None and inside.holds(f"{root}/{row[0]}"):
            yield _file(f"{home}/{row[0]}", f"{root}/{row[0]}", format_)


def _standard_library() -> Iterator[FoundFile]:
    home = f"{STANDARD_LIBRARY}-{platform.python_version()}"
    root = os.path.realpath(sysconfig.get_path("stdlib"))
    inside = _Inside(root)
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in _NOT_STANDARD)
        for name in sorted(names):
            path = f"{parent}/{name}"
            relative = path.removeprefix(f"{root}/")
            format_ = "text" if relative == "LICENSE.txt" else _format_of(relative)
            if relative == "pydoc_data/topics.py":
                format_ = "pydoc_topics"
            if format_ is not None and inside.holds(path):
                yield _file(f"{home}/{relative}", path, format_)


def _format_of(path: str) -> str | None:
    """Return the format of a file by its path in the installation, None for what is no text."""
    parts = path.split("/")
    if parts[0].endswith(".dist-info"):
        if parts[1:] == ["METADATA"]:
            return "package_metadata"
        return "text" if parts[-1].upper().startswith(_LICENCES) else None
    return "python_docs" if path.endswith(".py") else None


def _file(name: str, path: str, format_: str) -> FoundFile:
    in_tests = format_ == "python_docs" and not _TESTS.isdisjoint(name.split("/")[1:-1])
    return FoundFile(name, path, format_, dropped="tests_folder" if in_tests else "")


class _Inside:
    """Knows whether a path, all links followed, stays inside a folder; reads each folder once."""

    def __init__(self, root: str) -> None:
        self._root = f"{root}/"
        self._links: dict[str, frozenset[str] | None] = {}
        """Folder -> the links in it; None for a folder that is outside itself."""

    def holds(self, path: str) -> bool:
        parent, _, name = path.rpartition("/")
        if parent not in self._links:
            self._links[parent] = _links_in(parent) if self._is_inside(parent) else None
        links = self._links[parent]
        return links is not None and (name not in links or self._is_inside(path))

    def _is_inside(self, path: str) -> bool:
        return f"{os.path.realpath(path)}/".startswith(self._root)


def _links_in(folder: str) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_symlink())
    except OSError:
        return frozenset()


def _size(path: str) -> int:
    """Return the bytes of a regular file, 0 for what is none."""
    try:
        status = os.stat(path)
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _sample(files: list[FoundFile], most_bytes: int) -> Iterator[FoundFile]:
    left = most_bytes
    for file in sorted(files, key=lambda file: xxhash.xxh3_64_hexdigest(file.name.encode())):
        size = _size(file.path)
        if file.dropped:
            yield file
        elif size <= left:
            left -= size
            yield file
        else:
            yield file._replace(dropped="over_package_limit")
