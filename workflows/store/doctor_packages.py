"""The doctor on Python and its packages: the ranges of pyproject.toml, and the known traps."""

import platform
import tomllib
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from workflows.environment import PROJECT
from workflows.store.findings import Finding, Patient

_NAME = "llada-pipeline"
_IMPOSTORS = (
    "fasttext", "fasttext-wheel", "fasttext-predict", "fasttext-numpy2", "fasttext-numpy2-wheel",
    "fasttext-modern", "fasttext-ng",
)  # fmt: skip


def python(_patient: Patient) -> Iterator[Finding]:
    """Whether this Python is one of those the project runs on."""
    allowed = SpecifierSet(_declared()[0])
    found = platform.python_version()
    if allowed.contains(found, prereleases=True):
        yield Finding("ok", "python", f"{found} (allowed: {allowed})")
    else:
        remedy = "make a new environment: python3.11 -m venv .venv && make setup"
        yield Finding("FAIL", "python", f"{found}; allowed: {allowed}", remedy)


def versions(_patient: Patient) -> Iterator[Finding]:
    """Whether every declared package is there in an allowed version."""
    _, needed, optional = _declared()
    bad = [finding for text in needed if (finding := _package(Requirement(text), "FAIL"))]
    bad += [finding for text in optional if (finding := _package(Requirement(text), "warn"))]
    yield from bad
    if not bad:
        yield Finding("ok", "packages", f"{len(needed) + len(optional)} in the declared ranges")


def _package(wanted: Requirement, level: Any) -> Finding | None:
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": "judge"}):
        return None
    install = f"python -m pip install '{wanted.name}{wanted.specifier}'"
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        what = "not installed" + ("" if level == "FAIL" else "; only the judge stage needs it")
        return Finding(level, "packages", f"{wanted.name}: {what}", install)
    if wanted.specifier.contains(found, prereleases=True):
        return None
    return Finding(level, "packages", f"{wanted.name} {found}; allowed: {wanted.specifier}",
                   install)  # fmt: skip


def fasttext(_patient: Patient) -> Iterator[Finding]:
    """Whether the module `fasttext` is the one that works: the others share its name."""
    there = {str(one.metadata["Name"]).lower() for one in metadata.distributions()}
    wrong = [name for name in _IMPOSTORS if name in there]
    if wrong:
        yield Finding(
            "FAIL",
            "fasttext",
            f"{', '.join(wrong)} is installed: NaN in training, wrong results on numpy 2",
            f"python -m pip uninstall -y {' '.join(wrong)} && python -m pip install "
            "--force-reinstall --no-deps fasttext-community==0.11.9",
        )
    elif "fasttext-community" in there:
        yield Finding("ok", "fasttext", "fasttext-community, and no other of that module's name")


def _declared() -> tuple[str, list[str], list[str]]:
    """Return what the project declares: Python, packages, packages of the judge."""
    file = PROJECT / "pyproject.toml"
    if file.is_file():
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        extras = project.get("optional-dependencies", {}).get("judge", [])
        return project["requires-python"], list(project["dependencies"]), list(extras)
    needed = metadata.requires(_NAME) or []
    about = metadata.metadata(_NAME)
    plain = [text for text in needed if "extra ==" not in text]
    judge = [text for text in needed if 'extra == "judge"' in text]
    return str(about["Requires-Python"]), plain, judge
