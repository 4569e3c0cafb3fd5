"""Which files the paths of a source name: files, folders and patterns, by extension."""

import glob
import json
import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import InputError

_STREAMS = ("", ".gz", ".zst")
_STATE = "state.json"

FORMAT_OF: Mapping[str, str] = {
    **{suffix + stream: "jsonl" for suffix in (".jsonl", ".ndjson") for stream in _STREAMS},
    **{".json" + stream: "jsonl" for stream in _STREAMS if stream},
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    **{suffix + stream: "warc" for suffix in (".warc", ".wet") for stream in ("", ".gz")},
    **{suffix + stream: "html" for suffix in (".html", ".htm", ".xhtml") for stream in _STREAMS},
    **{suffix + stream: "text" for suffix in (".txt", ".md", ".rst") for stream in _STREAMS},
}
"""Extension -> format under `format: auto`; a compressed .json is lines, as C4 publishes it."""


class FoundFile(NamedTuple):
    """A file that a source names; `dropped` is the rule that keeps it out of the listing."""

    name: str
    """Stable between machines: relative to the folder or pattern that was configured."""
    path: str
    format: str
    dropped: str = ""


def format_of(name: str) -> str | None:
    """Return the format that a file's extension stands for, None where it stands for none."""
    suffixes = Path(name.lower()).suffixes
    return FORMAT_OF.get("".join(suffixes[-2:])) or FORMAT_OF.get("".join(suffixes[-1:]))


def files_of(paths: tuple[str, ...], base: Path, forced: str | None = None) -> list[FoundFile]:
    """Return the files of all paths, each file once, under the first path that names it.

    `forced` reads every file in that format, whatever its extension.

    Raises:
        InputError: a path is missing, a pattern matches nothing, a folder cannot be read, or a
            file named by itself is of unknown format.
    """
    found: dict[str, FoundFile] = {}
    for path in paths:
        full = os.path.join(os.path.abspath(base), os.path.expanduser(path))
        for file in _named(path, os.path.normpath(full), forced):
            found.setdefault(file.path, file)
    return list(found.values())


def _named(path: str, full: str, forced: str | None) -> Iterator[FoundFile]:
    if os.path.isdir(full):
        yield from _walk(full, full, forced)
    elif os.path.exists(full):
        yield _explicit(path, full, forced)
    elif glob.has_magic(path):
        yield from _matches(path, full, forced)
    else:
        raise InputError(f"source: {path!r} is missing: looked for {full}.{_nearest(full)}")


def _explicit(path: str, full: str, forced: str | None) -> FoundFile:
    format_ = forced or format_of(full)
    if format_ is None:
        raise InputError(
            f"source: {path!r} is of unknown format; the extensions known are "
            f"{', '.join(FORMAT_OF)}. Rename it, or say what it is: "
            "`format: jsonl`, `lines`, `parquet`, `arrow`, `text`, `html` or `warc`."
        )
    return FoundFile(os.path.basename(full), full, format_)


def _matches(path: str, full: str, forced: str | None) -> Iterator[FoundFile]:
    """Yield what a pattern matches, named relative to its part before the first wildcard."""
    root = full
    while glob.has_magic(root):
        root = os.path.dirname(root)
    matches = sorted(glob.glob(full, recursive=True))
    if not matches:
        raise InputError(
            f"source: the pattern {path!r} matches no file under {root}. Check the spelling "
            "(`*` matches within one folder, `**` through all of them) and where you start from."
        )
    for match in matches:
        if os.path.isdir(match):
            yield from _walk(match, root, forced)
        else:
            yield _by_extension(match, root, forced)


def _walk(folder: str, root: str, forced: str | None) -> Iterator[FoundFile]:
    """Yield the files under a folder; links to folders are followed, each folder is read once."""
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        saved = _saved_dataset(parent) if _STATE in names else None
        for name in sorted(names):
            found = _by_extension(os.path.join(parent, name), root, forced)
            left_over = saved is not None and name.endswith(".arrow") and name not in saved
            yield found._replace(dropped="not_in_dataset") if left_over else found


def _saved_dataset(folder: str) -> frozenset[str] | None:
    """Return the data files of a folder written by `datasets`' save_to_disk, None for any other.

    Beside them may lie what its later calls remembered, and shards of an earlier, larger save.
    """
    try:
        with open(os.path.join(folder, _STATE), "rb") as stream:
            state = json.load(stream)
        return frozenset(str(file["filename"]) for file in state["_data_files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _by_extension(path: str, root: str, forced: str | None) -> FoundFile:
    name = os.path.relpath(path, root).replace(os.sep, "/")
    format_ = forced or format_of(name)
    if format_ is None:
        return FoundFile(name, path, "unknown", dropped="unknown_format")
    return FoundFile(name, path, format_)


def _refuse(error: OSError) -> None:
    raise InputError(
        f"source: cannot read the folder {error.filename}: {error.strerror}. "
        "Change its permissions, or name the folders beside it one by one."
    ) from error


def _nearest(full: str) -> str:
    folder, name = os.path.split(full)
    if not os.path.isdir(folder):
        return " Paths are relative to where the command runs: check that first."
    close = get_close_matches(name, sorted(os.listdir(folder)), n=1)
    return f" Did you mean {close[0]!r}?" if close else " Check the spelling."
